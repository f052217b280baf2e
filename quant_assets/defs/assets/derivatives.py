"""The stage `derivatives`: open interest, funding, long/short ratio and liquidations, window by window.

One step refreshes whichever of the four were selected, so that one plan spends the budget. It never fails for
the provider's sake: what could not be had is carried forward with its age, and the checks say so.
"""

import time
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime

import dagster as dg
import orjson
import pandas as pd

from quant_assets.coinalyze.errors import BudgetUnusable
from quant_assets.defs import columns
from quant_assets.defs.io_managers import OPTIONAL
from quant_assets.defs.partitions import WINDOWS
from quant_assets.defs.resources import Cadences, Coinalyze, MarketRules
from quant_assets.derivatives.datasets import DATASETS, SPECS, Dataset
from quant_assets.derivatives.refresh import refresh
from quant_assets.derivatives.report import DatasetReport, RefreshReport
from quant_assets.derivatives.snapshot import snapshot
from quant_assets.derivatives.store import StoreError
from quant_assets.markets import list_of_provider, resolve_markets
from quant_assets.progress import Progress
from quant_assets.signals import features_table, market_interest
from quant_assets.windows import LENGTH, Window

DESCRIPTIONS: Mapping[Dataset, str] = {
    "open_interest": "Open interest of each market at the window's end, its z-score and trend over 24 hours.",
    "funding_rate": "Last funding rate of each market known at the window's end, percent.",
    "long_short_ratio": "Last ratio of long to short accounts of each market known at the window's end.",
    "liquidations": "Longs and shorts of each market that were liquidated in the last hour and the last 24.",
}
OLDEST_ALLOWED_SECONDS = 2 * 3600
COVERAGE_EXPECTED = 0.9


class RefreshConfig(dg.Config):
    """How far a run goes to refresh."""

    max_wait_seconds: float = 120.0
    """Time to spend on asking; what is not known by then is carried forward. The newest window is never asked for
    beyond the end of the one that follows it, which has a refresh of its own."""
    exchange: str = ""
    """Ask only for markets of this exchange."""
    symbol: str = ""
    """Ask only for markets whose symbol contains this text."""


@dg.multi_asset(
    name="derivatives",
    group_name="derivatives",
    can_subset=True,
    partitions_def=WINDOWS,
    ins={"coinalyze_markets": dg.AssetIn(metadata=OPTIONAL)},
    outs={
        dataset: dg.AssetOut(
            is_required=False,
            description=(
                f"{DESCRIPTIONS[dataset]} One row a market. From Coinalyze's `/{SPECS[dataset].endpoint}`: 15-minute "
                "bars that had closed by the window's end; nothing that is known is asked for again."
            ),
            metadata=columns.described_schema(columns.DERIVATIVES[dataset]),
            kinds={"python", "coinalyze", "parquet"},
            owners=["team:quant"],
        )
        for dataset in DATASETS
    },
    check_specs=[
        check
        for dataset in DATASETS
        for check in (
            dg.AssetCheckSpec(
                "coverage", asset=dataset, description="At least 90 % of the markets that have a symbol have data."
            ),
            dg.AssetCheckSpec("age", asset=dataset, description="Half of what is known is at most 2 hours old."),
            dg.AssetCheckSpec("refresh", asset=dataset, description="The refresh was not cut short by an error."),
        )
    ],
)
def derivatives(
    context: dg.AssetExecutionContext,
    config: RefreshConfig,
    coinalyze_markets: pd.DataFrame,
    symbol_map: pd.DataFrame,
    candles: pd.DataFrame,
    coinalyze: Coinalyze,
    market_rules: MarketRules,
    cadences: Cadences,
    progress: dg.ResourceParam[Progress],
) -> Iterator[dg.Output[pd.DataFrame] | dg.AssetCheckResult]:
    """Ask for what is due, and lay down what is known."""
    window = Window.of_key(context.partition_key)
    selected = [dataset for dataset in DATASETS if dataset in context.op_execution_context.selected_output_names]
    now = datetime.fromtimestamp(time.time(), UTC)
    rules, policy = market_rules.load(), cadences.load()

    market_list = list_of_provider(coinalyze_markets, coinalyze.provider)

    def resolve(empty: Mapping[str, Collection[str]]) -> pd.DataFrame:
        if not any(empty.values()) or market_list is None:
            return symbol_map
        return resolve_markets(symbol_map, market_list, now=now, rules=rules, empty=empty)

    def resolve_chosen(empty: Mapping[str, Collection[str]]) -> pd.DataFrame:
        return _chosen(resolve(empty), config)

    since_ms = float(symbol_map["market_list_at_ms"].max()) if len(symbol_map) else 0.0
    try:
        with coinalyze.client() as client, coinalyze.store() as store:
            _, report = refresh(
                store,
                client,
                resolve_chosen,
                window,
                since_ms=since_ms,
                datasets=selected,
                deadline=_deadline(window, time.time(), config.max_wait_seconds),
                policy=policy,
                interest=lambda: market_interest(features_table(candles, symbol_map, {}, window)),
                progress=progress,
            )
            final_map = resolve({dataset: store.empty_twice(dataset, since_ms) for dataset in DATASETS})
            tables = {dataset: snapshot(store, final_map, dataset, window) for dataset in selected}
            store.save_report(window.key, orjson.dumps(report.as_dict()).decode())
    except (StoreError, BudgetUnusable) as error:
        # The feed goes on without: nothing is known then, which the checks and the ages show.
        report = RefreshReport(
            {dataset: DatasetReport() for dataset in selected}, stopped="store", problems=[str(error)]
        )
        tables = {dataset: snapshot(None, symbol_map, dataset, window) for dataset in selected}
    for problem in report.problems:
        context.log.warning(problem)
    for dataset, table in tables.items():
        ages = (window.end_ms - table["closed_at_ms"]) / 1000
        yield dg.Output(table, dataset, metadata=_metadata(table, ages, dataset, report))
        yield from _checks(table, ages, dataset, report)


def _deadline(window: Window, now: float, max_wait_seconds: float) -> float:
    """Return when a refresh that starts `now` has to end (epoch seconds)."""
    following = window.end_seconds + LENGTH.total_seconds()
    return min(now + max_wait_seconds, following) if now < following else now + max_wait_seconds


def _chosen(symbol_map: pd.DataFrame, config: RefreshConfig) -> pd.DataFrame:
    """Return the rows of the markets that the run asks for."""
    chosen = symbol_map["symbol"].str.contains(config.symbol, case=False, regex=False)
    if config.exchange:
        chosen &= symbol_map["exchange"].str.casefold() == config.exchange.casefold()
    return symbol_map[chosen].reset_index(drop=True)


def _metadata(
    table: pd.DataFrame, ages: pd.Series, dataset: Dataset, report: RefreshReport
) -> dict[str, dg.MetadataValue | int | float | str]:
    account = report.datasets[dataset]
    known = ages.dropna()
    metadata: dict[str, dg.MetadataValue | int | float | str] = {
        **columns.table_metadata(table, columns.DERIVATIVES[dataset]),
        "coverage": _coverage(table),
        "markets_known": len(known),
        "calls": account.calls,
        "requests": account.requests,
        "cache_hits": account.known,
        "fetched": account.fetched,
        "empty": account.empty,
        "failed": account.failed,
        "waiting": account.waiting,
        "rate_limited": report.rate_limited,
        "waited_seconds": report.waited_seconds,
        "broken_points": report.broken_points,
        "stopped": report.stopped or "no",
        "problems": dg.MetadataValue.json(report.problems[:20]),
    }
    if len(known):
        metadata["median_age_seconds"] = float(known.median())
        metadata["p95_age_seconds"] = float(known.quantile(0.95))
    return metadata


def _checks(
    table: pd.DataFrame, ages: pd.Series, dataset: Dataset, report: RefreshReport
) -> Iterator[dg.AssetCheckResult]:
    coverage, median = _coverage(table), ages.dropna().median()
    yield dg.AssetCheckResult(
        asset_key=dataset,
        check_name="coverage",
        passed=coverage >= COVERAGE_EXPECTED,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"coverage": coverage},
    )
    yield dg.AssetCheckResult(
        asset_key=dataset,
        check_name="age",
        passed=bool(median <= OLDEST_ALLOWED_SECONDS),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"median_age_seconds": float(median)} if len(ages.dropna()) else {"known": 0},
    )
    yield dg.AssetCheckResult(
        asset_key=dataset,
        check_name="refresh",
        passed=report.stopped in {"", "out_of_time"} and not report.datasets[dataset].failed,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"stopped": report.stopped or "no", "problems": dg.MetadataValue.json(report.problems[:20])},
    )


def _coverage(table: pd.DataFrame) -> float:
    """Return the share of markets with data among those that have a symbol; 1 where none has."""
    served = table["coinalyze_symbol"] != ""
    return float(table.loc[served, "closed_at_ms"].notna().mean()) if served.any() else 1.0
