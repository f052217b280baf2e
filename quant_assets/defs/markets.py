"""The stage `markets`: Coinalyze's market list, and the map from every market to its Coinalyze symbols."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

import dagster as dg
import orjson
import pandas as pd

from quant_assets.common.clock import Clock
from quant_assets.derivatives.datasets import ENTRIES, PRIMARY_DATASET
from quant_assets.derivatives.store import StoreError
from quant_assets.markets import (
    DROPPED,
    MAX_LIST_AGE,
    MarketListRefused,
    list_of_provider,
    market_list_table,
    refuse_shrunken_market_list,
    resolve_markets,
)
from quant_assets.orchestration import columns
from quant_assets.orchestration.conditions import DAILY_FRESHNESS, FOLLOW_MARKET_LIST, REFRESH_BEFORE_STALE
from quant_assets.orchestration.io_managers import OPTIONAL
from quant_assets.orchestration.job_names import MARKET_LIST
from quant_assets.orchestration.pools import COINALYZE
from quant_assets.orchestration.project import Project
from quant_assets.orchestration.resources import Coinalyze, MarketRules
from quant_assets.providers.coinalyze.client import CoinalyzeClient, Usage
from quant_assets.providers.coinalyze.errors import CoinalyzeError, ProviderUnavailable
from quant_assets.storage.lake import Lake

_MARKET = ["exchange", "symbol"]
#: Seconds to wait before each retry when the provider is out of reach.
RETRY_SECONDS = (5, 10, 20)


class MarketListConfig(dg.Config):
    """Limits on fetching the market list."""

    max_wait_seconds: float = 120.0
    """Time limit for the requests; after it the run fails, and the stored list stays."""
    retry: bool = True
    """Whether to retry when the provider is out of reach."""


@dataclass
class _ApiUsage:
    """What fetching the list cost, also when it failed."""

    usage: Usage = field(default_factory=Usage)
    waited_seconds: float = 0.0

    def metadata(self) -> dict[str, int | float]:
        """Return the costs as metadata."""
        return {
            "calls": self.usage.calls,
            "requests": self.usage.requests,
            "rate_limited": self.usage.rate_limited,
            "waited_seconds": round(self.waited_seconds, 3),
        }

    @contextmanager
    def measured_client(self, coinalyze: Coinalyze, clock: Clock) -> Iterator[CoinalyzeClient]:
        """Open a client, and record what it costs."""
        with coinalyze.client(clock) as client:
            self.usage = client.usage
            try:
                yield client
            finally:
                self.waited_seconds = client.budget.waited_seconds

    def failure(self, error: Exception, message: str = "") -> dg.Failure:
        """Return the failure of the run for an error, with the costs as metadata."""
        metadata = {"error": type(error).__name__, **self.metadata()}
        return dg.Failure(message or str(error), metadata=metadata, allow_retries=False)


@dataclass(frozen=True)
class _FetchedList:
    """A market list as it was fetched: its table, the codes of all exchanges, and the count of rows left out."""

    table: pd.DataFrame
    exchange_codes: list[str]
    broken_rows: int


def _fetch(
    context: dg.AssetExecutionContext, config: MarketListConfig, coinalyze: Coinalyze, clock: Clock, usage: _ApiUsage
) -> _FetchedList:
    """Fetch the market list. Raises dg.Failure, and dg.RetryRequested if the provider is out of reach."""
    fetched_at = clock.now()
    deadline = clock.monotonic() + config.max_wait_seconds
    try:
        with usage.measured_client(coinalyze, clock) as client, coinalyze.store() as store:
            exchanges, markets = client.exchanges(deadline=deadline), client.future_markets(deadline=deadline)
            if markets.simulated:
                store.mark_simulated()
    except (CoinalyzeError, StoreError) as error:
        # No RetryPolicy: it would also repeat a step that a user interrupted, or whose key was refused.
        if config.retry and isinstance(error, ProviderUnavailable) and context.retry_number < len(RETRY_SECONDS):
            context.log.warning("%s", error)
            raise dg.RetryRequested(len(RETRY_SECONDS), RETRY_SECONDS[context.retry_number]) from None
        raise usage.failure(error) from None
    codes = sorted(exchange.code for exchange in exchanges.rows)
    table = market_list_table(
        [(exchange.code, exchange.name) for exchange in exchanges.rows],
        [asdict(row) for row in markets.rows],
        fetched_at,
    )
    broken_rows = exchanges.invalid + markets.invalid + table.attrs[DROPPED]
    table = table.assign(
        exchange_codes=orjson.dumps(codes).decode(), provider=coinalyze.provider, simulated=markets.simulated
    )
    return _FetchedList(table, codes, broken_rows)


def market_list_asset(provider: str) -> dg.AssetsDefinition:
    """Return the asset `coinalyze_markets`; its code version is the provider, whose change makes the list outdated."""

    @dg.asset(
        name="coinalyze_markets",
        group_name="markets",
        kinds={"python", "coinalyze", "parquet"},
        owners=["team:quant"],
        description=(
            "Every futures market that Coinalyze lists, with the name of its exchange: `/exchanges` and "
            "`/future-markets`, two calls. An answer that is empty, or has lost more than half of the last one or of "
            "its perpetuals, is refused, and the last list is kept."
        ),
        metadata=columns.schema(columns.COINALYZE_MARKETS),
        code_version=provider,
        freshness_policy=DAILY_FRESHNESS,
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
        usage = _ApiUsage()
        fetched = _fetch(context, config, coinalyze, clock, usage)
        last = list_of_provider(lake.read_undamaged(["coinalyze_markets"]), coinalyze.provider)
        try:
            refuse_shrunken_market_list(fetched.exchange_codes, fetched.table, last)
        except MarketListRefused as error:
            if last is None:
                raise usage.failure(error) from None
            path = lake.describe(["coinalyze_markets"])
            advice = f"If the provider has changed that much, remove {path}, and the next answer is taken"
            raise usage.failure(error, f"{error}. {advice}") from None
        coinalyze.record_origin()
        return dg.MaterializeResult(
            value=fetched.table,
            metadata={
                "dagster/row_count": len(fetched.table),
                "exchanges": len(fetched.exchange_codes),
                "perpetuals": int(fetched.table["is_perpetual"].sum()),
                "broken_rows": fetched.broken_rows,
                **usage.metadata(),
                "seconds": time.perf_counter() - started,
            },
        )

    return coinalyze_markets


def _pairs(table: pd.DataFrame) -> Iterator[tuple[str, str]]:
    return zip(table["exchange"], table["symbol"], strict=True)


@dg.asset(
    group_name="markets",
    kinds={"python", "pandas", "parquet"},
    owners=["team:quant"],
    ins={"coinalyze_markets": dg.AssetIn(metadata=OPTIONAL)},
    description=(
        "The Coinalyze symbol of each market, for each dataset: of its own exchange (resolved), of the best market of "
        "a reference exchange (aggregated), or none (neutral). One row for every market that has candles. No call. "
        "A symbol that comes back empty twice is replaced in the refresh; the derivative tables show the replacement."
    ),
    metadata=columns.schema(columns.SYMBOL_MAP),
    freshness_policy=DAILY_FRESHNESS,
    automation_condition=FOLLOW_MARKET_LIST,
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
    """Resolve every market that has candles."""
    started = time.perf_counter()
    coinalyze.require_origin()
    now = clock.now()
    markets = candle_files.loc[candle_files["status"] == "read", _MARKET].drop_duplicates()
    market_list = list_of_provider(coinalyze_markets, coinalyze.provider)
    last = lake.read_undamaged(["symbol_map"])
    table = resolve_markets(markets, market_list, datasets=ENTRIES, now=now, rules=market_rules.load())
    table = table.assign(simulated=bool(market_list is not None and market_list["simulated"].any()))
    statuses = table["status"].value_counts()
    age_seconds = now.timestamp() - float(table["market_list_at_ms"].max()) / 1000
    yield dg.Output(
        table,
        metadata={
            "dagster/row_count": len(table),
            **{status: int(statuses.get(status, 0)) for status in ("resolved", "aggregated", "neutral")},
            "coverage": float((table["status"] != "neutral").mean()) if len(table) else 0.0,
            "distinct_symbols": int(table[f"{PRIMARY_DATASET}_symbol"].replace("", None).nunique()),
            "market_list_age_hours": age_seconds / 3600,
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
        passed=age_seconds <= MAX_LIST_AGE.total_seconds(),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"age_hours": age_seconds / 3600},
    )


#: A job of its own: if it fails, scans use the stored list.
market_list_job = dg.define_asset_job(
    MARKET_LIST,
    selection=["coinalyze_markets"],
    description="Fetch Coinalyze's market list: two calls.",
)


def build(project: Project) -> dg.Definitions:
    """Return the market list, the symbol map, and the job that fetches the list."""
    return dg.Definitions(
        assets=dg.with_source_code_references([market_list_asset(project.settings.provider), symbol_map]),
        jobs=[market_list_job],
    )
