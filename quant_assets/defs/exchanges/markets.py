"""The asset `exchange_markets`."""

from collections.abc import Iterator

import dagster as dg
import pandas as pd

from quant_assets.common.clock import Clock
from quant_assets.defs.exchanges.choice import ChoiceConfig, chosen
from quant_assets.orchestration import columns
from quant_assets.orchestration.exchange_fetches import fetch_markets
from quant_assets.orchestration.exchange_source import ExchangeSource
from quant_assets.orchestration.pools import EXCHANGES
from quant_assets.orchestration.resources import MarketRules
from quant_assets.storage.lake import Lake


@dg.asset(
    group_name="exchanges",
    kinds={"python", "ccxt", "parquet"},
    owners=["team:quant"],
    pool=EXCHANGES,
    description=(
        "Every contract of each exchange of exchanges.toml: names, sizes, turnover, whether its candles are fetched, "
        "and why not. An exchange that fails, or has lost more than half of its last list, keeps the last one."
    ),
    metadata=columns.schema(columns.EXCHANGE_MARKETS),
    check_specs=[
        dg.AssetCheckSpec(
            "lists_fetched",
            asset="exchange_markets",
            description="Every exchange sent a list that can be right; the others keep the last one.",
        )
    ],
)
def exchange_markets(
    config: ChoiceConfig,
    exchange_source: ExchangeSource,
    market_rules: MarketRules,
    lake: dg.ResourceParam[Lake],
    clock: dg.ResourceParam[Clock],
) -> Iterator[dg.Output[pd.DataFrame] | dg.AssetCheckResult]:
    """Fetch the market lists of all exchanges, and choose the markets to fetch."""
    choice = chosen(exchange_source, config)
    last = lake.read_undamaged(["exchange_markets"])
    found = fetch_markets(exchange_source, choice, market_rules.load(), last, clock)
    table = found.table
    yield dg.Output(
        table,
        metadata={
            "dagster/row_count": len(table),
            "selected": int(table["selected"].sum()),
            "by_exchange": dg.MetadataValue.json(
                {str(name): int(rows["selected"].sum()) for name, rows in table.groupby("exchange")}
            ),
            "problems": dg.MetadataValue.json(found.problems),
        },
    )
    yield dg.AssetCheckResult(
        asset_key="exchange_markets",
        check_name="lists_fetched",
        passed=not found.problems,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"problems": dg.MetadataValue.json(found.problems)},
    )
