"""The asset `candle_features`: what follows from candles alone, one row for each market, as of the window's end."""

import time

import dagster as dg
import pandas as pd

from quant_assets.common.progress import Progress
from quant_assets.orchestration import columns
from quant_assets.orchestration.conditions import BACKFILL_MISSING, WINDOW_FRESHNESS
from quant_assets.orchestration.io_managers import WINDOW_TABLES
from quant_assets.orchestration.partitions import BACKFILL_POLICY, WINDOWS, Tables, windows_of
from quant_assets.signals import candle_features_table, candle_features_tables


@dg.asset(
    group_name="signals",
    kinds={"python", "talib", "parquet"},
    owners=["team:quant"],
    partitions_def=WINDOWS,
    backfill_policy=BACKFILL_POLICY,
    io_manager_key=WINDOW_TABLES,
    freshness_policy=WINDOW_FRESHNESS,
    automation_condition=BACKFILL_MISSING,
    description=(
        "Indicators and RSI trendlines of each market that has a bar closed by the window's end, only from bars that "
        "had closed by then. Unknown values are empty."
    ),
    metadata=columns.schema(columns.CANDLE_FEATURE_COLUMNS),
)
def candle_features(
    context: dg.AssetExecutionContext, candles: pd.DataFrame, progress: dg.ResourceParam[Progress]
) -> Tables:
    """Compute the candle features of every market: of a single window, or of all windows of a backfill at once."""
    started = time.perf_counter()
    windows = windows_of(context)
    if len(windows) == 1:
        tables = {windows[0].key: candle_features_table(candles, windows[0], progress)}
    else:
        tables = candle_features_tables(candles, windows)
    seconds = (time.perf_counter() - started) / len(windows)
    for key, table in tables.items():
        context.add_asset_metadata(
            {
                "dagster/row_count": len(table),
                "unusable": int((table["unusable"] != "").sum()),
                "seconds": seconds,
            },
            partition_key=key,
        )
    return tables
