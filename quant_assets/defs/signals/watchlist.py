"""The asset `watchlist`: the markets in the order in which their derivatives are worth fetching."""

import time

import dagster as dg

from quant_assets.orchestration import columns
from quant_assets.orchestration.conditions import FOLLOW_INPUTS, WINDOW_FRESHNESS
from quant_assets.orchestration.partitions import BACKFILL_POLICY, WINDOWS, Tables, windows_of
from quant_assets.orchestration.pools import ANALYSIS
from quant_assets.orchestration.resources import Strategies
from quant_assets.signals import build_watchlist, run_strategy, run_strategy_by_columns


@dg.asset(
    group_name="signals",
    kinds={"python", "parquet"},
    owners=["team:quant"],
    partitions_def=WINDOWS,
    backfill_policy=BACKFILL_POLICY,
    freshness_policy=WINDOW_FRESHNESS,
    automation_condition=FOLLOW_INPUTS,
    pool=ANALYSIS,
    description=(
        "The order in which derivatives are worth fetching: markets with a setup, those near one, the rest; then by "
        "traded volume. All strategies judge the candle features with neutral derivatives. A refresh takes the newest."
    ),
    metadata=columns.schema(columns.WATCHLIST),
)
def watchlist(
    context: dg.AssetExecutionContext, candle_features: Tables, strategies: dg.ResourceParam[Strategies]
) -> Tables:
    """Build the watchlist, window by window."""
    configured = list(strategies.load().values())
    windows = windows_of(context)
    run = run_strategy if len(windows) == 1 else run_strategy_by_columns
    tables: Tables = {}
    for window in windows:
        started = time.perf_counter()
        table = tables[window.key] = build_watchlist(candle_features[window.key], window, configured, run)
        context.add_asset_metadata(
            {
                "dagster/row_count": len(table),
                "setup": int(table["setup"].sum()),
                "near": int(table["near"].sum()),
                "seconds": time.perf_counter() - started,
            },
            partition_key=window.key,
        )
    return tables
