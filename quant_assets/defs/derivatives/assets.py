"""The assets of the stage `derivatives`: open interest, funding rate, long/short ratio and liquidations by window.

One step refreshes all selected datasets, so that one plan spends the budget. It does not fail if the provider does:
missing data are carried forward with their age, and the checks report them.
"""

import time
from collections.abc import Iterator, Sequence
from functools import partial

import dagster as dg
import pandas as pd

from quant_assets.common.clock import Clock
from quant_assets.common.progress import Progress
from quant_assets.common.windows import Window
from quant_assets.defs.derivatives.checks import CHECK_SPECS, check_results, refresh_metadata, table_metadata
from quant_assets.derivatives.datasets import DATASETS, ENTRIES, Dataset
from quant_assets.derivatives.market_sources import MarketSources
from quant_assets.derivatives.store import StoreError
from quant_assets.derivatives.window_refresh import RefreshedWindows, WindowRefresh, time_limit
from quant_assets.orchestration import columns
from quant_assets.orchestration.checks import CheckEvent, window_check_results
from quant_assets.orchestration.conditions import BACKFILL_MISSING, WINDOW_FRESHNESS
from quant_assets.orchestration.io_managers import CARRIED_FORWARD, OPTIONAL, TABLES
from quant_assets.orchestration.market_lists import LIST_ASSETS
from quant_assets.orchestration.partitions import BACKFILL_POLICY, WINDOWS, Tables, windows_of
from quant_assets.orchestration.pools import PROVIDER
from quant_assets.orchestration.resources import MarketRules, Providers, RefreshPolicyFile
from quant_assets.orchestration.run_tags import BACKFILL
from quant_assets.providers.registry import PROVIDERS


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
    pool=PROVIDER,
    ins={
        **{asset: dg.AssetIn(metadata=OPTIONAL) for asset in LIST_ASSETS.values()},
        # A refresh takes the newest watchlist; if there has been none, all markets have the same priority.
        # Without the lease of its window: a refresh may take minutes, and writes no table that another run makes.
        "watchlist": dg.AssetIn(metadata=CARRIED_FORWARD, input_manager_key=TABLES),
    },
    outs={
        spec.name: dg.AssetOut(
            is_required=False,
            description=(
                f"{spec.description} One row for each market. From {PROVIDERS[spec.provider].label}'s "
                f"`{spec.endpoint}`, unless data/providers.toml names another provider: 15-minute bars that had closed "
                "by the window's end. Stored bars are not requested again."
            ),
            metadata=columns.schema(columns.DERIVATIVES[spec.name]),
            kinds={"python", spec.provider, "parquet"},
            owners=["team:quant"],
            freshness_policy=WINDOW_FRESHNESS,
            automation_condition=BACKFILL_MISSING,
        )
        for spec in ENTRIES
    },
    check_specs=[spec for specs in CHECK_SPECS.values() for spec in specs],
)
def derivatives(
    context: dg.AssetExecutionContext,
    config: RefreshConfig,
    symbol_map: pd.DataFrame,
    watchlist: Tables,
    providers: Providers,
    market_rules: MarketRules,
    refresh_policy: RefreshPolicyFile,
    progress: dg.ResourceParam[Progress],
    clock: dg.ResourceParam[Clock],
    **market_lists: pd.DataFrame,
) -> Iterator[dg.Output[Tables] | CheckEvent]:
    """Refresh what is due, and return the tables of what is known."""
    started = time.perf_counter()
    providers.require_origin()
    windows = windows_of(context)
    selected, returned = _selection(context)
    refresh = WindowRefresh(
        windows=windows,
        datasets=selected,
        returned=returned,
        sources=MarketSources(symbol_map, providers.lists(market_lists, market_rules.load(), clock.now())),
        watchlist=watchlist[windows[-1].key],
        policy=refresh_policy.load(),
        exchange=config.exchange,
        symbol=config.symbol,
    )
    is_backfill = BACKFILL in context.run.tags
    try:
        with providers.store() as store:
            seconds_allowed = time_limit(windows[-1], clock.seconds(), config.max_wait_seconds, is_backfill=is_backfill)
            connect = partial(providers.client, clock=clock)
            found = refresh.run(store, connect, seconds_allowed, clock, progress)
    except StoreError as error:
        # The feed is made without derivatives; checks and ages show that nothing is known.
        found = refresh.without_store(str(error))
    for problem in found.report.problems:
        context.log.warning(problem)
    yield from _outputs(context, found, selected, windows, time.perf_counter() - started)


def _selection(context: dg.AssetExecutionContext) -> tuple[list[Dataset], list[Dataset]]:
    """Return the datasets to refresh, and those whose tables are needed: checks can run without their asset."""
    outputs = context.op_execution_context.selected_output_names
    checked = {key.asset_key.to_user_string() for key in context.selected_asset_check_keys}
    selected = [dataset for dataset in DATASETS if dataset in outputs]
    return selected, [dataset for dataset in DATASETS if dataset in {*selected, *checked}]


def _outputs(
    context: dg.AssetExecutionContext,
    found: RefreshedWindows,
    selected: Sequence[Dataset],
    windows: Sequence[Window],
    seconds: float,
) -> Iterator[dg.Output[Tables] | CheckEvent]:
    """Yield the tables of the selected datasets with their metadata, and the results of the selected checks."""
    for dataset, by_window in found.tables.items():
        if dataset in selected:
            for window in windows:
                # Only the newest window has the costs, so that they are counted once.
                costs = refresh_metadata(found.report, dataset, seconds) if window is windows[-1] else {}
                metadata = table_metadata(by_window[window.key], window) | costs
                context.add_asset_metadata(metadata, asset_key=dataset, partition_key=window.key)
            yield dg.Output(by_window, dataset)
        for spec, results in check_results(by_window, dataset, found.reports):
            if dataset in selected or spec.key in context.selected_asset_check_keys:
                yield from window_check_results(context, spec, results)
