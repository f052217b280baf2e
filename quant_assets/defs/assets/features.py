"""The stage `features`: everything that a strategy reads, one row a market, as of the window's end."""

import dagster as dg
import pandas as pd

from quant_assets.defs import columns
from quant_assets.defs.io_managers import CARRIED_FORWARD
from quant_assets.defs.partitions import WINDOWS
from quant_assets.derivatives.datasets import DATASETS
from quant_assets.progress import Progress
from quant_assets.signals import features_table
from quant_assets.windows import Window


@dg.asset(
    group_name="signals",
    kinds={"python", "talib", "parquet"},
    owners=["team:quant"],
    partitions_def=WINDOWS,
    ins={dataset: dg.AssetIn(metadata=CARRIED_FORWARD) for dataset in DATASETS},
    description=(
        "Indicators, RSI trendlines and derivative inputs of each market, from bars that had closed by the window's "
        "end alone. A dataset that is missing is taken from the newest window before; what is not known stays empty."
    ),
    metadata=columns.described_schema(columns.FEATURE_COLUMNS),
)
def features(
    context: dg.AssetExecutionContext,
    candles: pd.DataFrame,
    symbol_map: pd.DataFrame,
    open_interest: pd.DataFrame,
    funding_rate: pd.DataFrame,
    long_short_ratio: pd.DataFrame,
    liquidations: pd.DataFrame,
    progress: dg.ResourceParam[Progress],
) -> dg.MaterializeResult[pd.DataFrame]:
    """Compute the features of every market."""
    known = {
        "open_interest": open_interest,
        "funding_rate": funding_rate,
        "long_short_ratio": long_short_ratio,
        "liquidations": liquidations,
    }
    table = features_table(candles, symbol_map, known, Window.of_key(context.partition_key), progress)
    return dg.MaterializeResult(
        value=table,
        metadata={
            **columns.table_metadata(table, columns.FEATURE_COLUMNS),
            "unusable": int((table["unusable"] != "").sum()),
            "with_open_interest": int(table["oi_z"].notna().sum()),
        },
    )
