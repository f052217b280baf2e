"""The asset `candle_features`: what follows from candles alone, one row for each market, as of the window's end."""

import time

import dagster as dg
import pandas as pd

from quant_assets.common.progress import Progress
from quant_assets.orchestration import columns
from quant_assets.orchestration.conditions import BACKFILL_MISSING, WINDOW_FRESHNESS
from quant_assets.orchestration.partitions import BACKFILL_POLICY, WINDOWS, Tables, windows_of
from quant_assets.orchestration.pools import ANALYSIS
from quant_assets.signals import candle_features_table


@dg.asset(
    group_name="signals",
    kinds={"python", "talib", "parquet"},
    owners=["team:quant"],
    partitions_def=WINDOWS,
    backfill_policy=BACKFILL_POLICY,
    freshness_policy=WINDOW_FRESHNESS,
    automation_condition=BACKFILL_MISSING,
    pool=ANALYSIS,
    description=(
        "Indicators and RSI trendlines of each market that has a bar closed by the window's end, only from bars that "
        "had closed by then. Unknown values are empty."
    ),
    metadata=columns.schema(columns.CANDLE_FEATURE_COLUMNS),
)
def candle_features(
    context: dg.AssetExecutionContext, candles: pd.DataFrame, progress: dg.ResourceParam[Progress]
) -> Tables:
    """Compute the candle features of every market, window by window."""
    tables: Tables = {}
    for window in windows_of(context):
        started = time.perf_counter()
        table = tables[window.key] = candle_features_table(candles, window, progress)
        context.add_asset_metadata(
            {
                "dagster/row_count": len(table),
                "unusable": int((table["unusable"] != "").sum()),
                "seconds": time.perf_counter() - started,
            },
            partition_key=window.key,
        )
    return tables
