"""The asset `exchange_candles`."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pandas as pd

from quant_assets.candles.exchanges.selected_markets import SelectedMarkets
from quant_assets.common.clock import Clock
from quant_assets.common.progress import Progress
from quant_assets.common.windows import Window
from quant_assets.defs.exchanges.choice import FetchConfig, chosen
from quant_assets.defs.exchanges.fetch_checks import CHECK_SPECS, check_results, summarise
from quant_assets.derivatives.take_snapshots import Snapshots
from quant_assets.orchestration import columns
from quant_assets.orchestration.exchange_fetches import FetchLimits, fetch_candles
from quant_assets.orchestration.exchange_source import ExchangeSource
from quant_assets.orchestration.pools import EXCHANGES
from quant_assets.orchestration.resources import MarketRules, Providers
from quant_assets.storage.lake import Lake


@dg.asset(
    group_name="exchanges",
    kinds={"python", "ccxt", "parquet"},
    owners=["team:quant"],
    pool=EXCHANGES,
    description=(
        "The closed 15m and 4h bars of the selected markets, in the bar store by exchange, timeframe and day or month. "
        "The newest two stored bars are fetched again with each new one, since exchanges correct late. A gap is asked "
        "for once more, and recorded when it is an hour old; nothing is filled. Once a window, open interest and "
        "funding of all these markets are stored too, in the store of derivatives."
    ),
    metadata=columns.schema(columns.EXCHANGE_CANDLES),
    check_specs=CHECK_SPECS,
)
def exchange_candles(
    config: FetchConfig,
    exchange_markets: pd.DataFrame,
    exchange_source: ExchangeSource,
    market_rules: MarketRules,
    providers: Providers,
    lake: dg.ResourceParam[Lake],
    clock: dg.ResourceParam[Clock],
    progress: dg.ResourceParam[Progress],
) -> Iterator[dg.MaterializeResult[Any]]:
    """Fetch the bars that are missing, from all exchanges at once."""
    started = clock.monotonic()
    limits = FetchLimits(config.history_days, config.timeframes, started + config.max_wait_seconds)
    choice = chosen(exchange_source, config)
    listed_in, watchlist = lake.newest_window(["watchlist"], Window.last_complete(clock.now()).key)
    markets = SelectedMarkets.of_tables(exchange_markets, choice.exchanges, watchlist, market_rules.load())
    snapshots = Snapshots(providers.store, exchange_source.is_simulated, clock)
    reports = fetch_candles(
        exchange_source, choice, exchange_markets, markets.in_order, limits, clock, progress, snapshots
    )
    rows = summarise(reports, markets, exchange_source.store(), Window.last_complete(clock.now()), snapshots)
    yield dg.MaterializeResult(
        metadata={
            "new_bars": sum(row["new"] for row in rows),
            "revised_bars": sum(row["revised"] for row in rows),
            "gaps": sum(row["gaps"] for row in rows),
            "requests": sum(row["requests"] for row in rows),
            "rate_limited": sum(row["rate_limited"] for row in rows),
            "late_markets": sum(row["late"] for row in rows),
            "failed_markets": sum(row["failed"] for row in rows),
            "newest_bar_age_seconds": max((row["newest_bar_age_seconds"] or 0.0 for row in rows), default=0.0),
            "open_interest_snapshots": sum(row["open_interest"] for row in rows),
            "funding_rate_snapshots": sum(row["funding_rate"] for row in rows),
            "seconds": clock.monotonic() - started,
            "watchlist": listed_in or "none",
            "exchanges": dg.MetadataValue.json(rows),
        },
        check_results=check_results(reports, rows),
    )
