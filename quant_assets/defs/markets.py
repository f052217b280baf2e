"""The stage `markets`: the providers' market lists, and the map from every market to the symbols that serve it."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

import dagster as dg
import orjson
import pandas as pd

from quant_assets.common.clock import Clock
from quant_assets.common.text import describe_foreign_error
from quant_assets.derivatives.datasets import PRIMARY_DATASET
from quant_assets.derivatives.store import StoreError
from quant_assets.markets import (
    DROPPED,
    MAX_LIST_AGE,
    MarketListRefused,
    market_list_table,
    refuse_shrunken_market_list,
)
from quant_assets.orchestration import columns
from quant_assets.orchestration.conditions import DAILY_FRESHNESS, FOLLOW_MARKET_LIST, REFRESH_BEFORE_STALE
from quant_assets.orchestration.io_managers import OPTIONAL
from quant_assets.orchestration.job_names import MARKET_LIST
from quant_assets.orchestration.market_lists import LIST_ASSETS, stored_list
from quant_assets.orchestration.pools import PROVIDER
from quant_assets.orchestration.project import Project
from quant_assets.orchestration.resources import MarketRules, Providers
from quant_assets.providers.base import MarketList, Provider, ProviderClient, Usage
from quant_assets.providers.errors import ProviderError, ProviderUnavailable
from quant_assets.providers.registry import PROVIDERS, provider_name
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
    def measured_client(self, providers: Providers, provider: Provider, clock: Clock) -> Iterator[ProviderClient]:
        """Open a client, and record what it costs."""
        with providers.client(provider, clock) as client:
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
    context: dg.AssetExecutionContext,
    config: MarketListConfig,
    providers: Providers,
    provider: Provider,
    clock: Clock,
    usage: _ApiUsage,
) -> _FetchedList:
    """Fetch the market list. Raises dg.Failure, and dg.RetryRequested if the provider is out of reach."""
    fetched_at = clock.now()
    deadline = clock.monotonic() + config.max_wait_seconds
    try:
        with usage.measured_client(providers, provider, clock) as client, providers.store() as store:
            found = _market_list(client, provider, deadline)
            if found.simulated:
                store.mark_simulated()
    except (ProviderError, StoreError) as error:
        # No RetryPolicy: it would also repeat a step that a user interrupted, or whose key was refused.
        if config.retry and isinstance(error, ProviderUnavailable) and context.retry_number < len(RETRY_SECONDS):
            context.log.warning("%s", error)
            raise dg.RetryRequested(len(RETRY_SECONDS), RETRY_SECONDS[context.retry_number]) from None
        raise usage.failure(error) from None
    codes = sorted(exchange.code for exchange in found.exchanges)
    # A symbol of another provider's form would be taken for that provider's.
    markets = [asdict(market) for market in found.markets if provider_name(market.symbol) == provider.name]
    table = market_list_table([(exchange.code, exchange.name) for exchange in found.exchanges], markets, fetched_at)
    broken_rows = found.invalid + len(found.markets) - len(markets) + table.attrs[DROPPED]
    table = table.assign(
        exchange_codes=orjson.dumps(codes).decode(),
        provider=provider.origin(providers.settings),
        simulated=found.simulated,
    )
    return _FetchedList(table, codes, broken_rows)


def _market_list(client: ProviderClient, provider: Provider, deadline: float) -> MarketList:
    """Return the market list. Raise ProviderUnavailable if the provider's code raises another error than it should."""
    try:
        return client.market_list(deadline=deadline)
    except ProviderError:
        raise
    except Exception as error:  # noqa: BLE001 - the code of an installed package may raise anything
        raise ProviderUnavailable(f"{provider.name}: {describe_foreign_error(error)}") from None


def market_list_asset(provider: Provider, origin: str, *, has_key: bool) -> dg.AssetsDefinition:
    """Return the asset with a provider's market list; its code version is the origin: another makes it outdated.

    Without a key every fetch would fail, so nothing starts one automatically.
    """

    @dg.asset(
        name=LIST_ASSETS[provider.name],
        group_name="markets",
        kinds={"python", provider.name, "parquet"},
        owners=["team:quant"],
        description=(
            f"Every futures market that {provider.label} lists, with the name of its exchange. An answer that is "
            "empty, or has lost more than half of the last one or of its perpetuals, is refused, and the last list is "
            "kept."
        ),
        metadata=columns.schema(columns.MARKET_LIST),
        code_version=origin,
        freshness_policy=DAILY_FRESHNESS,
        automation_condition=REFRESH_BEFORE_STALE if has_key else None,
        pool=PROVIDER,
    )
    def market_list(
        context: dg.AssetExecutionContext,
        config: MarketListConfig,
        providers: Providers,
        lake: dg.ResourceParam[Lake],
        clock: dg.ResourceParam[Clock],
    ) -> dg.MaterializeResult[pd.DataFrame]:
        started = time.perf_counter()
        providers.require_origin()
        usage = _ApiUsage()
        fetched = _fetch(context, config, providers, provider, clock, usage)
        last = stored_list(lake, providers.settings, provider)
        try:
            refuse_shrunken_market_list(fetched.exchange_codes, fetched.table, last)
        except MarketListRefused as error:
            if last is None:
                raise usage.failure(error) from None
            path = lake.describe([LIST_ASSETS[provider.name]])
            advice = f"If the provider has changed that much, remove {path}, and the next answer is taken"
            raise usage.failure(error, f"{error}. {advice}") from None
        providers.record_origin(provider)
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

    return market_list


def _pairs(table: pd.DataFrame) -> Iterator[tuple[str, str]]:
    return zip(table["exchange"], table["symbol"], strict=True)


@dg.asset(
    group_name="markets",
    kinds={"python", "pandas", "parquet"},
    owners=["team:quant"],
    ins={asset: dg.AssetIn(metadata=OPTIONAL) for asset in LIST_ASSETS.values()},
    description=(
        "The provider's symbol of each market, for each dataset: of its own exchange (resolved), of the best market of "
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
    market_rules: MarketRules,
    providers: Providers,
    lake: dg.ResourceParam[Lake],
    clock: dg.ResourceParam[Clock],
    **market_lists: pd.DataFrame,
) -> Iterator[dg.Output[pd.DataFrame] | dg.AssetCheckResult]:
    """Resolve every market that has candles."""
    started = time.perf_counter()
    providers.require_origin()
    now = clock.now()
    markets = candle_files.loc[candle_files["status"] == "read", _MARKET].drop_duplicates()
    lists = providers.lists(market_lists, market_rules.load(), now)
    last = lake.read_undamaged(["symbol_map"])
    table = lists.resolve(markets).assign(simulated=lists.simulated)
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
    selection=list(LIST_ASSETS.values()),
    description="Fetch the providers' market lists.",
)


def build(project: Project) -> dg.Definitions:
    """Return the market lists, the symbol map, and the job that fetches the lists."""
    lists = [
        market_list_asset(
            provider, provider.origin(project.settings), has_key=provider.has_key(project.settings, os.environ)
        )
        for provider in PROVIDERS.values()
    ]
    return dg.Definitions(
        assets=dg.with_source_code_references([*lists, symbol_map]),
        jobs=[market_list_job],
    )
