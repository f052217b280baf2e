"""The stage `features`: everything that a strategy reads, one row a market, as of the window's end."""

import time
from collections.abc import Iterator

import dagster as dg
import pandas as pd

from quant_assets.common.progress import Progress
from quant_assets.defs.signals.feature_checks import CHECK_SPECS, checks
from quant_assets.derivatives.datasets import DATASETS
from quant_assets.orchestration import columns
from quant_assets.orchestration.checks import Evaluated
from quant_assets.orchestration.conditions import FOLLOWS_ITS_INPUTS, FRESH_FOR_A_WINDOW
from quant_assets.orchestration.io_managers import CARRIED_FORWARD
from quant_assets.orchestration.partitions import FOUR_HOURS, WINDOWS, Tables, windows_of
from quant_assets.orchestration.pools import ANALYSIS
from quant_assets.signals import features_table


@dg.asset(
    group_name="signals",
    kinds={"python", "talib", "parquet"},
    owners=["team:quant"],
    partitions_def=WINDOWS,
    backfill_policy=FOUR_HOURS,
    freshness_policy=FRESH_FOR_A_WINDOW,
    automation_condition=FOLLOWS_ITS_INPUTS,
    pool=ANALYSIS,
    ins={dataset: dg.AssetIn(metadata=CARRIED_FORWARD) for dataset in DATASETS},
    description=(
        "Indicators, RSI trendlines and derivative inputs of each market, from bars that had closed by the window's "
        "end alone. A dataset that is missing is taken from the newest window before; what is not known stays empty."
    ),
    metadata=columns.schema(columns.FEATURE_COLUMNS),
    check_specs=list(CHECK_SPECS.values()),
)
def features(
    context: dg.AssetExecutionContext,
    candles: pd.DataFrame,
    symbol_map: pd.DataFrame,
    open_interest: Tables,
    funding_rate: Tables,
    long_short_ratio: Tables,
    liquidations: Tables,
    progress: dg.ResourceParam[Progress],
) -> Iterator[dg.Output[Tables] | Evaluated]:
    """Compute the features of every market, window by window."""
    known = {
        "open_interest": open_interest,
        "funding_rate": funding_rate,
        "long_short_ratio": long_short_ratio,
        "liquidations": liquidations,
    }
    tables: Tables = {}
    for window in windows_of(context):
        started = time.perf_counter()
        derivatives = {dataset: by_window[window.key] for dataset, by_window in known.items()}
        table = tables[window.key] = features_table(candles, symbol_map, derivatives, window, progress)
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
    yield from checks(context, tables)
