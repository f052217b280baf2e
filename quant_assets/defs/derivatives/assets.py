"""The assets of the stage `derivatives`: open interest, funding rate, long/short ratio and liquidations by window.

One step refreshes all selected datasets, so that one plan spends the budget. It does not fail if the provider does:
missing data are carried forward with their age, and the checks report them.
"""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg
import orjson
import pandas as pd

from quant_assets.common.clock import Clock
from quant_assets.common.progress import Progress
from quant_assets.common.windows import LENGTH, Window
from quant_assets.defs.derivatives.checks import CHECK_SPECS, check_results, refresh_metadata, table_metadata
from quant_assets.derivatives.datasets import DATASETS, SPECS, Dataset
from quant_assets.derivatives.refresh import Refresh, RefreshOptions
from quant_assets.derivatives.report import DatasetReport, RefreshReport, StopReason
from quant_assets.derivatives.snapshot import snapshot
from quant_assets.derivatives.store import DerivativesStore, StoreError
from quant_assets.markets import list_of_provider, resolve_markets, select_markets
from quant_assets.orchestration import columns
from quant_assets.orchestration.checks import CheckEvent, window_check_results
from quant_assets.orchestration.conditions import BACKFILL_MISSING, WINDOW_FRESHNESS
from quant_assets.orchestration.io_managers import OPTIONAL
from quant_assets.orchestration.partitions import BACKFILL_POLICY, WINDOWS, Tables, windows_of
from quant_assets.orchestration.pools import COINALYZE
from quant_assets.orchestration.resources import Coinalyze, MarketRules, RefreshPolicyFile, Strategies
from quant_assets.providers.coinalyze.errors import BudgetUnusable
from quant_assets.signals import build_watchlist, candle_features_table

DESCRIPTIONS: Mapping[Dataset, str] = {
    "open_interest": "Open interest of each market at the window's end, its z-score and trend over 24 hours.",
    "funding_rate": "Last funding rate of each market known at the window's end, percent.",
    "long_short_ratio": "Last ratio of long to short accounts of each market known at the window's end.",
    "liquidations": "Longs and shorts of each market that were liquidated in the last hour and the last 24.",
}
BACKFILL_TAG = "dagster/backfill"


class RefreshConfig(dg.Config):
    """Limits on a refresh."""

    max_wait_seconds: float = 120.0
    """Time limit for the requests; what is unknown by then is carried forward. A refresh also ends when the window
    after its newest one ends, since that has its own refresh; and a backfill ends at the next quarter hour, when the
    next scan starts."""
    exchange: str = ""
    """Refresh only markets of this exchange; empty for all."""
    symbol: str = ""
    """Refresh only markets whose local or display symbol contains this text; empty for all."""


@dg.multi_asset(
    name="derivatives",
    group_name="derivatives",
    can_subset=True,
    partitions_def=WINDOWS,
    backfill_policy=BACKFILL_POLICY,
    pool=COINALYZE,
    ins={"coinalyze_markets": dg.AssetIn(metadata=OPTIONAL)},
    outs={
        dataset: dg.AssetOut(
            is_required=False,
            description=(
                f"{DESCRIPTIONS[dataset]} One row for each market. From Coinalyze's `/{SPECS[dataset].endpoint}`: "
                "15-minute bars that had closed by the window's end. Stored bars are not requested again."
            ),
            metadata=columns.schema(columns.DERIVATIVES[dataset]),
            kinds={"python", "coinalyze", "parquet"},
            owners=["team:quant"],
            freshness_policy=WINDOW_FRESHNESS,
            automation_condition=BACKFILL_MISSING,
        )
        for dataset in DATASETS
    },
    check_specs=[spec for specs in CHECK_SPECS.values() for spec in specs],
)
def derivatives(
    context: dg.AssetExecutionContext,
    config: RefreshConfig,
    coinalyze_markets: pd.DataFrame,
    symbol_map: pd.DataFrame,
    candles: pd.DataFrame,
    coinalyze: Coinalyze,
    market_rules: MarketRules,
    refresh_policy: RefreshPolicyFile,
    strategies: dg.ResourceParam[Strategies],
    progress: dg.ResourceParam[Progress],
    clock: dg.ResourceParam[Clock],
) -> Iterator[dg.Output[Tables] | CheckEvent]:
    """Refresh what is due, and return the tables of what is known."""
    started = time.perf_counter()
    coinalyze.require_origin()
    windows, now = windows_of(context), clock.now()
    newest = windows[-1]
    selected, checked = _selection(context)
    rules, policy = market_rules.load(), refresh_policy.load()
    configured = list(strategies.load().values())
    market_list = list_of_provider(coinalyze_markets, coinalyze.provider)
    since_ms = float(symbol_map["market_list_at_ms"].max()) if len(symbol_map) else 0.0

    def resolve(empty: Mapping[str, Collection[str]]) -> pd.DataFrame:
        if not any(empty.values()) or market_list is None:
            return symbol_map
        return resolve_markets(symbol_map, market_list, now=now, rules=rules, empty=empty)

    try:
        with coinalyze.client(clock) as client, coinalyze.store() as store:
            report = RefreshReport()
            if selected:
                seconds_allowed = _time_limit(
                    newest, clock.seconds(), config.max_wait_seconds, is_backfill=BACKFILL_TAG in context.run.tags
                )
                options = RefreshOptions(
                    newest,
                    since_ms,
                    first=windows[0],
                    datasets=selected,
                    deadline=clock.monotonic() + seconds_allowed,
                    policy=policy,
                )
                _, report = Refresh(
                    store,
                    client,
                    lambda empty: select_markets(resolve(empty), config.exchange, config.symbol),
                    options,
                    watchlist=build_watchlist(candle_features_table(candles, newest), newest, configured),
                    clock=clock.seconds,
                    progress=progress,
                ).run()
                _save_report(report, store, newest)
            tables = _snapshots(store, resolve(store.empty_twice(since_ms)), checked, windows)
            stored_reports = {} if selected else _stored_reports(store, windows)
    except (StoreError, BudgetUnusable) as error:
        # The feed is made without derivatives; checks and ages show that nothing is known.
        report = RefreshReport(
            {dataset: DatasetReport() for dataset in selected}, stopped=StopReason.STORE, problems=[str(error)]
        )
        tables = _snapshots(None, symbol_map, checked, windows)
        stored_reports = {}
    for problem in report.problems:
        context.log.warning(problem)
    reports = {**{window.key: report.as_dict() for window in windows}, **stored_reports}
    seconds = time.perf_counter() - started
    for dataset, by_window in tables.items():
        if dataset in selected:
            for window in windows:
                # Only the newest window has the costs, so that they are counted once.
                costs = refresh_metadata(report, dataset, seconds) if window is newest else {}
                metadata = table_metadata(by_window[window.key], window) | costs
                context.add_asset_metadata(metadata, asset_key=dataset, partition_key=window.key)
            yield dg.Output(by_window, dataset)
        for spec, results in check_results(by_window, dataset, reports):
            if dataset in selected or spec.key in context.selected_asset_check_keys:
                yield from window_check_results(context, spec, results)


def _selection(context: dg.AssetExecutionContext) -> tuple[list[Dataset], list[Dataset]]:
    """Return the datasets to refresh, and those whose tables are needed: checks can run without their asset."""
    outputs = context.op_execution_context.selected_output_names
    checked = {key.asset_key.to_user_string() for key in context.selected_asset_check_keys}
    selected = [dataset for dataset in DATASETS if dataset in outputs]
    return selected, [dataset for dataset in DATASETS if dataset in {*selected, *checked}]


def _snapshots(
    store: DerivativesStore | None, symbol_map: pd.DataFrame, datasets: Sequence[Dataset], windows: Sequence[Window]
) -> dict[Dataset, Tables]:
    """Return the table of each dataset and window; without a store nothing is known."""
    return {
        dataset: {window.key: snapshot(store, symbol_map, dataset, window) for window in windows}
        for dataset in datasets
    }


def _save_report(report: RefreshReport, store: DerivativesStore, window: Window) -> None:
    """Store the report of a refresh. If that fails, add the problem to the report."""
    try:
        store.save_report(window.key, orjson.dumps(report.as_dict()).decode())
    except StoreError as error:
        report.stopped = StopReason.STORE
        report.problems.append(str(error))


def _stored_reports(store: DerivativesStore, windows: Sequence[Window]) -> dict[str, Any]:
    """Return the reports of the last refreshes of these windows as plain types, by window key."""
    reports = {window.key: store.load_report(window.key) for window in windows}
    return {key: orjson.loads(report) for key, report in reports.items() if report is not None}


def _time_limit(newest: Window, now: float, max_wait_seconds: float, *, is_backfill: bool) -> float:
    """Return how many seconds a refresh that starts at `now` (epoch seconds) may take."""
    length = LENGTH.total_seconds()
    if is_backfill:
        return min(max_wait_seconds, length - now % length)
    until_next_end = newest.end_seconds + length - now
    return min(max_wait_seconds, until_next_end) if until_next_end > 0 else max_wait_seconds
