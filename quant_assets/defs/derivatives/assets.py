"""The stage `derivatives`: open interest, funding, long/short ratio and liquidations, window by window.

One step refreshes whichever of the four were selected, so that one plan spends the budget. It never fails for
the provider's sake: what could not be had is carried forward with its age, and the checks say so.
"""

import time
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import dagster as dg
import orjson
import pandas as pd

from quant_assets.common.clock import Clock
from quant_assets.common.progress import Progress
from quant_assets.common.windows import LENGTH, Window
from quant_assets.defs.derivatives.checks import CHECK_SPECS, checks, refresh_account, table_account
from quant_assets.derivatives.datasets import DATASETS, SPECS, Dataset
from quant_assets.derivatives.refresh import Refresh, RefreshOptions
from quant_assets.derivatives.report import DatasetReport, RefreshReport, StopReason
from quant_assets.derivatives.snapshot import snapshot
from quant_assets.derivatives.store import DerivativesStore, StoreError
from quant_assets.markets import list_of_provider, resolve_markets
from quant_assets.markets.rules import nfc
from quant_assets.orchestration import columns
from quant_assets.orchestration.checks import Evaluated, window_results
from quant_assets.orchestration.conditions import BACKFILL_MISSING, FRESH_FOR_A_WINDOW
from quant_assets.orchestration.io_managers import OPTIONAL
from quant_assets.orchestration.partitions import FOUR_HOURS, WINDOWS, Tables, windows_of
from quant_assets.orchestration.pools import COINALYZE
from quant_assets.orchestration.resources import Cadences, Coinalyze, MarketRules, Strategies
from quant_assets.providers.coinalyze.errors import BudgetUnusable
from quant_assets.signals import features_table, market_interest

DESCRIPTIONS: Mapping[Dataset, str] = {
    "open_interest": "Open interest of each market at the window's end, its z-score and trend over 24 hours.",
    "funding_rate": "Last funding rate of each market known at the window's end, percent.",
    "long_short_ratio": "Last ratio of long to short accounts of each market known at the window's end.",
    "liquidations": "Longs and shorts of each market that were liquidated in the last hour and the last 24.",
}
BACKFILL_TAG = "dagster/backfill"


class RefreshConfig(dg.Config):
    """How far a run goes to refresh."""

    max_wait_seconds: float = 120.0
    """Time to spend on asking; what is not known by then is carried forward. The newest window is never asked for
    beyond the end of the one that follows it, which has a refresh of its own; and no backfill asks beyond the next
    quarter hour, when it is a scan's turn."""
    exchange: str = ""
    """Ask only for markets of this exchange."""
    symbol: str = ""
    """Ask only for markets whose symbol, as their exchange or as people write it, contains this text."""


@dg.multi_asset(
    name="derivatives",
    group_name="derivatives",
    can_subset=True,
    partitions_def=WINDOWS,
    backfill_policy=FOUR_HOURS,
    pool=COINALYZE,
    ins={"coinalyze_markets": dg.AssetIn(metadata=OPTIONAL)},
    outs={
        dataset: dg.AssetOut(
            is_required=False,
            description=(
                f"{DESCRIPTIONS[dataset]} One row a market. From Coinalyze's `/{SPECS[dataset].endpoint}`: 15-minute "
                "bars that had closed by the window's end; nothing that is known is asked for again."
            ),
            metadata=columns.schema(columns.DERIVATIVES[dataset]),
            kinds={"python", "coinalyze", "parquet"},
            owners=["team:quant"],
            freshness_policy=FRESH_FOR_A_WINDOW,
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
    cadences: Cadences,
    strategies: dg.ResourceParam[Strategies],
    progress: dg.ResourceParam[Progress],
    clock: dg.ResourceParam[Clock],
) -> Iterator[dg.Output[Tables] | Evaluated]:
    """Ask for what is due, and lay down what is known."""
    started = time.perf_counter()
    coinalyze.require_origin()
    windows = windows_of(context)
    last = windows[-1]
    selected = [dataset for dataset in DATASETS if dataset in context.op_execution_context.selected_output_names]
    # A check may be run without its asset: it looks at what is stored.
    checked = {key.asset_key.to_user_string() for key in context.selected_asset_check_keys}
    shown = [dataset for dataset in DATASETS if dataset in {*selected, *checked}]
    now = clock.now()
    rules, policy, judges = market_rules.load(), cadences.load(), list(strategies.load().values())

    market_list = list_of_provider(coinalyze_markets, coinalyze.provider)

    def resolve(empty: Mapping[str, Collection[str]]) -> pd.DataFrame:
        if not any(empty.values()) or market_list is None:
            return symbol_map
        return resolve_markets(symbol_map, market_list, now=now, rules=rules, empty=empty)

    def resolve_chosen(empty: Mapping[str, Collection[str]]) -> pd.DataFrame:
        return _chosen(resolve(empty), config)

    since_ms = float(symbol_map["market_list_at_ms"].max()) if len(symbol_map) else 0.0
    try:
        with coinalyze.client(clock) as client, coinalyze.store() as store:
            report = RefreshReport()
            if selected:
                seconds_allowed = _seconds_allowed(
                    last, clock.seconds(), config.max_wait_seconds, is_backfill=BACKFILL_TAG in context.run.tags
                )
                options = RefreshOptions(
                    last,
                    since_ms,
                    first=windows[0],
                    datasets=selected,
                    deadline=clock.steady() + seconds_allowed,
                    policy=policy,
                )
                _, report = Refresh(
                    store,
                    client,
                    resolve_chosen,
                    options,
                    interest=lambda: market_interest(features_table(candles, symbol_map, {}, last), judges),
                    clock=clock.seconds,
                    progress=progress,
                ).run()
                _keep(report, store, last)
            final_map = resolve(store.empty_twice(since_ms))
            tables = {
                dataset: {window.key: snapshot(store, final_map, dataset, window) for window in windows}
                for dataset in shown
            }
            stored = {} if selected else _stored_reports(store, windows)
    except (StoreError, BudgetUnusable) as error:
        # The feed goes on without: nothing is known then, which the checks and the ages show.
        report = RefreshReport(
            {dataset: DatasetReport() for dataset in selected}, stopped=StopReason.STORE, problems=[str(error)]
        )
        tables = {
            dataset: {window.key: snapshot(None, symbol_map, dataset, window) for window in windows}
            for dataset in shown
        }
        stored = {}
    for problem in report.problems:
        context.log.warning(problem)
    seconds = time.perf_counter() - started
    refreshes = {**{window.key: report.as_dict() for window in windows}, **stored}
    for dataset, by_window in tables.items():
        if dataset in selected:
            for window in windows:
                account = table_account(by_window[window.key], window)
                if window is last:  # what was spent is told once
                    account |= refresh_account(report, dataset, seconds)
                context.add_asset_metadata(account, asset_key=dataset, partition_key=window.key)
            yield dg.Output(by_window, dataset)
        for spec, results in checks(by_window, dataset, refreshes):
            if dataset in selected or spec.key in context.selected_asset_check_keys:
                yield from window_results(context, spec, results)


def _keep(report: RefreshReport, store: DerivativesStore, window: Window) -> None:
    """Keep the account of a refresh; where that cannot be written, what is known stays known all the same."""
    try:
        store.save_report(window.key, orjson.dumps(report.as_dict()).decode())
    except StoreError as error:
        report.stopped = StopReason.STORE
        report.problems.append(str(error))


def _stored_reports(store: DerivativesStore, windows: Collection[Window]) -> dict[str, Any]:
    """Return the accounts of the last refreshes of these windows, as plain types, by the window's key."""
    reports = {window.key: store.load_report(window.key) for window in windows}
    return {key: orjson.loads(report) for key, report in reports.items() if report is not None}


def _seconds_allowed(last: Window, now: float, max_wait_seconds: float, *, is_backfill: bool) -> float:
    """Return how long a refresh that starts `now` (epoch seconds) may take."""
    length = LENGTH.total_seconds()
    if is_backfill:
        return min(max_wait_seconds, length - now % length)
    following = last.end_seconds + length - now
    return min(max_wait_seconds, following) if following > 0 else max_wait_seconds


def _chosen(symbol_map: pd.DataFrame, config: RefreshConfig) -> pd.DataFrame:
    """Return the rows of the markets that the run asks for."""
    chosen = symbol_map["symbol"].str.contains(nfc(config.symbol), case=False, regex=False)
    chosen |= symbol_map["display_symbol"].str.contains(nfc(config.symbol), case=False, regex=False)
    if config.exchange:
        chosen &= symbol_map["exchange"].str.casefold() == config.exchange.casefold()
    return symbol_map[chosen].reset_index(drop=True)
