"""The asset `features`: everything that a strategy reads, one row for each market, as of the window's end."""

import time
from collections.abc import Iterator

import dagster as dg
import pandas as pd

from quant_assets.defs.signals.feature_checks import CHECK_SPECS, run_checks
from quant_assets.derivatives.datasets import DATASETS
from quant_assets.orchestration import columns
from quant_assets.orchestration.checks import CheckEvent
from quant_assets.orchestration.conditions import FOLLOW_INPUTS, WINDOW_FRESHNESS
from quant_assets.orchestration.io_managers import CARRIED_FORWARD, WINDOW_TABLES
from quant_assets.orchestration.partitions import BACKFILL_POLICY, WINDOWS, Tables, windows_of
from quant_assets.signals import join_features


@dg.asset(
    group_name="signals",
    kinds={"python", "parquet"},
    owners=["team:quant"],
    partitions_def=WINDOWS,
    backfill_policy=BACKFILL_POLICY,
    io_manager_key=WINDOW_TABLES,
    freshness_policy=WINDOW_FRESHNESS,
    automation_condition=FOLLOW_INPUTS,
    ins={dataset: dg.AssetIn(metadata=CARRIED_FORWARD) for dataset in DATASETS},
    description=(
        "Everything that strategies read: `candle_features` joined with symbol map and derivatives, as of the window's "
        "end. A missing dataset is taken from the newest earlier window; unknown values are empty."
    ),
    metadata=columns.schema(columns.FEATURE_COLUMNS),
    check_specs=list(CHECK_SPECS.values()),
)
def features(
    context: dg.AssetExecutionContext,
    candle_features: Tables,
    symbol_map: pd.DataFrame,
    **datasets: Tables,
) -> Iterator[dg.Output[Tables] | CheckEvent]:
    """Join the features of every market, window by window."""
    tables: Tables = {}
    for window in windows_of(context):
        started = time.perf_counter()
        derivatives = {dataset: by_window[window.key] for dataset, by_window in datasets.items()}
        table = tables[window.key] = join_features(candle_features[window.key], symbol_map, derivatives, window)
        context.add_asset_metadata(
            {
                "dagster/row_count": len(table),
                "unusable": int((table["unusable"] != "").sum()),
                "with_open_interest": int(table["oi_z"].notna().sum()),
                "seconds": time.perf_counter() - started,
            },
            partition_key=window.key,
        )
    yield dg.Output(tables)
    yield from run_checks(context, tables)
