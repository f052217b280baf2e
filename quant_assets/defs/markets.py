"""The stage `markets`: Coinalyze's market list, and the map from every market to the symbols that serve it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import timedelta

import dagster as dg
import orjson
import pandas as pd

from quant_assets.common.clock import Clock
from quant_assets.derivatives.store import StoreError
from quant_assets.markets import (
    DROPPED,
    MarketListRefused,
    list_of_provider,
    market_list_table,
    refuse_shrunken_list,
    resolve_markets,
)
from quant_assets.orchestration import columns
from quant_assets.orchestration.conditions import FOLLOWS_THE_LIST, FRESH_FOR_A_DAY, REFRESH_BEFORE_STALE
from quant_assets.orchestration.io_managers import OPTIONAL
from quant_assets.orchestration.job_names import MARKET_LIST
from quant_assets.orchestration.pools import COINALYZE
from quant_assets.orchestration.project import Project
from quant_assets.orchestration.resources import Coinalyze, MarketRules
from quant_assets.providers.coinalyze.client import CoinalyzeClient, Usage
from quant_assets.providers.coinalyze.errors import CoinalyzeError, ProviderUnavailable
from quant_assets.storage.lake import Lake

_MARKET = ["exchange", "symbol"]
A_DAY = timedelta(hours=24)
#: After how long a provider that was out of reach is tried again.
RETRY_SECONDS = (5, 10, 20)


class MarketListConfig(dg.Config):
    """How far a run goes to fetch the market list."""

    max_wait_seconds: float = 120.0
    """Time to spend on asking; after that the last list goes on serving."""
    retry: bool = True
    """Whether to try again in a while when the provider is out of reach."""


@dataclass
class _Spent:
    """What was spent on the list, whether it came or not."""

    usage: Usage = field(default_factory=Usage)
    waited_seconds: float = 0.0

    def account(self) -> dict[str, int | float]:
        """Return it as metadata."""
        return {
            "calls": self.usage.calls,
            "requests": self.usage.requests,
            "rate_limited": self.usage.rate_limited,
            "waited_seconds": round(self.waited_seconds, 3),
        }


def _failure(error: Exception, spent: _Spent) -> dg.Failure:
    """Return the failure of the market list, with what was spent on it all the same."""
    return dg.Failure(str(error), metadata={"error": type(error).__name__, **spent.account()}, allow_retries=False)


@contextmanager
def _asking(coinalyze: Coinalyze, clock: Clock, spent: _Spent) -> Iterator[CoinalyzeClient]:
    """Open a client, and enter what it has spent when it is closed."""
    with coinalyze.client(clock) as client:
        spent.usage = client.usage
        try:
            yield client
        finally:
            spent.waited_seconds = client.budget.waited_seconds


def _codes(market_list: pd.DataFrame) -> set[str]:
    """Return the codes of the exchanges that were listed with a market list, those without a market included."""
    return set(orjson.loads(market_list["exchange_codes"].iloc[0]))


def _perpetuals(market_list: pd.DataFrame) -> set[str]:
    """Return the symbols that can serve a market."""
    return set(market_list.loc[market_list["is_perpetual"], "symbol"])


def _pairs(table: pd.DataFrame) -> Iterator[tuple[str, str]]:
    return zip(table["exchange"], table["symbol"], strict=True)


def market_list_asset(provider: str) -> dg.AssetsDefinition:
    """Return the asset `coinalyze_markets`, as this provider lists them: another one's list is another version."""

    @dg.asset(
        name="coinalyze_markets",
        group_name="markets",
        kinds={"python", "coinalyze", "parquet"},
        owners=["team:quant"],
        description=(
            "Every futures market that Coinalyze lists, with the name of its exchange: `/exchanges` and "
            "`/future-markets`, two calls. An answer that is empty, or has lost more than half of the last one or of "
            "its perpetuals, is refused, and the last list goes on serving."
        ),
        metadata=columns.schema(columns.COINALYZE_MARKETS),
        code_version=provider,
        freshness_policy=FRESH_FOR_A_DAY,
        automation_condition=REFRESH_BEFORE_STALE,
        pool=COINALYZE,
    )
    def coinalyze_markets(
        context: dg.AssetExecutionContext,
        config: MarketListConfig,
        coinalyze: Coinalyze,
        lake: dg.ResourceParam[Lake],
        clock: dg.ResourceParam[Clock],
    ) -> dg.MaterializeResult[pd.DataFrame]:
        started = time.perf_counter()
        coinalyze.require_origin()
        fetched_at = clock.now()
        deadline = clock.steady() + config.max_wait_seconds
        spent = _Spent()
        try:
            with _asking(coinalyze, clock, spent) as client, coinalyze.store() as store:
                exchanges, rows = client.exchanges(deadline=deadline), client.future_markets(deadline=deadline)
                if rows.simulated:
                    store.mark_simulated()
        except (CoinalyzeError, StoreError) as error:
            # A provider out of reach may be back in a moment; a key that is refused will be so again. It is asked for
            # here, since by its policies Dagster tries again what a person has interrupted.
            if config.retry and isinstance(error, ProviderUnavailable) and context.retry_number < len(RETRY_SECONDS):
                context.log.warning("%s", error)
                raise dg.RetryRequested(len(RETRY_SECONDS), RETRY_SECONDS[context.retry_number]) from None
            raise _failure(error, spent) from None
        codes = sorted(exchange.code for exchange in exchanges.rows)
        table = market_list_table(
            [(exchange.code, exchange.name) for exchange in exchanges.rows],
            [asdict(row) for row in rows.rows],
            fetched_at,
        ).assign(exchange_codes=orjson.dumps(codes).decode(), provider=coinalyze.provider, simulated=rows.simulated)
        last = list_of_provider(lake.read_sound(["coinalyze_markets"]), coinalyze.provider)
        try:
            refuse_shrunken_list("/exchanges", codes, () if last is None else _codes(last))
            refuse_shrunken_list("/future-markets", set(table["symbol"]), () if last is None else set(last["symbol"]))
            # A list may be as long as ever and have nothing left that could serve a market.
            perpetuals = () if last is None else _perpetuals(last)
            refuse_shrunken_list("/future-markets (perpetuals)", _perpetuals(table), perpetuals)
        except MarketListRefused as error:
            if last is None:
                raise _failure(error, spent) from None
            path = lake.path(["coinalyze_markets"])
            told = f"{error}. If the provider has changed that much, remove {path}, and the next answer is taken"
            raise _failure(MarketListRefused(told), spent) from None
        coinalyze.record_origin()
        return dg.MaterializeResult(
            value=table,
            metadata={
                "dagster/row_count": len(table),
                "exchanges": len(exchanges.rows),
                "perpetuals": int(table["is_perpetual"].sum()),
                "broken_rows": exchanges.invalid + rows.invalid + table.attrs[DROPPED],
                **spent.account(),
                "seconds": time.perf_counter() - started,
            },
        )

    return coinalyze_markets


@dg.asset(
    group_name="markets",
    kinds={"python", "pandas", "parquet"},
    owners=["team:quant"],
    ins={"coinalyze_markets": dg.AssetIn(metadata=OPTIONAL)},
    description=(
        "Which Coinalyze symbol serves each market, for each dataset: its own exchange (resolved), the best market of "
        "a reference exchange (aggregated), or none (neutral). One row for every market that has candles. No call. "
        "What comes back empty twice is replaced where it is asked for, and the derivative tables show by what."
    ),
    metadata=columns.schema(columns.SYMBOL_MAP),
    freshness_policy=FRESH_FOR_A_DAY,
    automation_condition=FOLLOWS_THE_LIST,
    check_specs=[
        dg.AssetCheckSpec("every_market_has_a_row", asset="symbol_map", description="Every market has one row."),
        dg.AssetCheckSpec(
            "not_half_of_the_last",
            asset="symbol_map",
            description="The map has not lost more than half of the markets that it had.",
        ),
        dg.AssetCheckSpec(
            "market_list_age", asset="symbol_map", description="The market list behind the map is at most 24 hours old."
        ),
    ],
)
def symbol_map(
    candle_files: pd.DataFrame,
    coinalyze_markets: pd.DataFrame,
    market_rules: MarketRules,
    coinalyze: Coinalyze,
    lake: dg.ResourceParam[Lake],
    clock: dg.ResourceParam[Clock],
) -> Iterator[dg.Output[pd.DataFrame] | dg.AssetCheckResult]:
    """Resolve every market."""
    started = time.perf_counter()
    coinalyze.require_origin()
    now = clock.now()
    markets = candle_files.loc[candle_files["status"] == "read", _MARKET].drop_duplicates()
    market_list = list_of_provider(coinalyze_markets, coinalyze.provider)
    last = lake.read_sound(["symbol_map"])
    table = resolve_markets(markets, market_list, now=now, rules=market_rules.load())
    table = table.assign(simulated=bool(market_list is not None and market_list["simulated"].any()))
    statuses = table["status"].value_counts()
    age = now.timestamp() - float(table["market_list_at_ms"].max()) / 1000
    yield dg.Output(
        table,
        metadata={
            "dagster/row_count": len(table),
            **{status: int(statuses.get(status, 0)) for status in ("resolved", "aggregated", "neutral")},
            "coverage": float((table["status"] != "neutral").mean()) if len(table) else 0.0,
            "distinct_symbols": int(table["open_interest_symbol"].replace("", None).nunique()),
            "market_list_age_hours": age / 3600,
            "seconds": time.perf_counter() - started,
        },
    )
    yield dg.AssetCheckResult(
        check_name="every_market_has_a_row",
        passed=not table.duplicated(_MARKET).any() and set(_pairs(table)) == set(_pairs(markets)),
        metadata={"markets": len(markets), "rows": len(table)},
    )
    yield dg.AssetCheckResult(
        check_name="not_half_of_the_last",
        passed=last is None or len(table) * 2 >= len(last),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"rows": len(table), "rows_before": 0 if last is None else len(last)},
    )
    yield dg.AssetCheckResult(
        check_name="market_list_age",
        passed=age <= A_DAY.total_seconds(),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"age_hours": age / 3600},
    )


#: The list is fetched by itself: if that fails, scans go on with the last one.
market_list_job = dg.define_asset_job(
    MARKET_LIST,
    selection=["coinalyze_markets"],
    description="Fetch Coinalyze's market list: two calls.",
)


def build(project: Project) -> dg.Definitions:
    """Return market list and symbol map, and the job that fetches the list."""
    return dg.Definitions(
        assets=dg.with_source_code_references([market_list_asset(project.settings.provider), symbol_map]),
        jobs=[market_list_job],
    )
