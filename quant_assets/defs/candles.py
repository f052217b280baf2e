"""The stage `candles`: read a folder of candle files into a table of bars and a table of the files."""

import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pandas as pd

from quant_assets.candles import (
    CandleFolderError,
    CandleTables,
    read_scannable_candles,
    source_is_simulated,
)
from quant_assets.common.progress import Progress
from quant_assets.common.timeframes import STEP_MS
from quant_assets.orchestration import columns
from quant_assets.orchestration.project import Project
from quant_assets.orchestration.resources import CandleFolder
from quant_assets.storage.lake import Lake, LakeError

MAX_SKIPPED_SHARE = 0.05


class CandlesConfig(dg.Config):
    """The folder to read."""

    folder: str = ""
    """Folder of candle files; empty for the one of the environment."""


@dg.multi_asset(
    name="candles",
    group_name="candles",
    outs={
        "candles": dg.AssetOut(
            description=(
                "Bars of every market: 15m and 4h candles from files `EXCHANGE_SYMBOL_TIMEFRAME.json`, checked and "
                "sorted by exchange, symbol, timeframe and time. Files that did not change are not parsed again. "
                "A bar that had not ended when its file was written is held back until the file is written again."
            ),
            metadata=columns.schema(columns.CANDLES),
            kinds={"python", "pandas", "parquet"},
            owners=["team:quant"],
        ),
        "candle_files": dg.AssetOut(
            description=(
                "One row for each file of the candle folder: whether it was read or skipped, the number of bars, and "
                "why it was skipped. An invalid file does not affect the others."
            ),
            metadata=columns.schema(columns.CANDLE_FILES),
            kinds={"python", "pandas", "parquet"},
            owners=["team:quant"],
        ),
    },
    check_specs=[
        dg.AssetCheckSpec(
            "files_skipped",
            asset="candles",
            description="At most 5 % of the candle files are skipped; every skipped file is named.",
        )
    ],
)
def candles(
    context: dg.AssetExecutionContext,
    config: CandlesConfig,
    candle_folder: CandleFolder,
    lake: dg.ResourceParam[Lake],
    progress: dg.ResourceParam[Progress],
) -> Iterator[dg.Output[pd.DataFrame] | dg.AssetCheckResult]:
    """Read the files of the candle folder that changed."""
    started = time.perf_counter()
    folder = Path(config.folder or candle_folder.path)
    try:
        tables = read_scannable_candles(folder, _cached_tables(context, lake), progress)
    except CandleFolderError as error:
        raise dg.Failure(str(error), metadata={"error": CandleFolderError.__name__}, allow_retries=False) from error
    files = tables.files.assign(simulated=source_is_simulated(folder))
    skipped = files[files["status"] == "skipped"]
    used = files[files["status"] != "unused"]
    share = len(skipped) / max(len(used), 1)
    counts: dict[str, dg.MetadataValue | int | float] = {
        "folder": dg.MetadataValue.path(folder),
        "markets": len(files.loc[files["status"] == "read", ["exchange", "symbol"]].drop_duplicates()),
        "files_read": int((files["status"] == "read").sum()),
        "files_skipped": len(skipped),
        "bars_dropped": int(files["dropped"].sum()),
        "bars_held_back": int(files["held_back"].sum()),
        "gaps": int(files["gaps"].sum()),
        "seconds": time.perf_counter() - started,
    }
    if len(tables.bars):
        closes_ms = files["last_ms"] + files["timeframe"].map(STEP_MS)
        counts["reach_to"] = dg.MetadataValue.timestamp(float(closes_ms.max()) / 1000)
    yield dg.Output(tables.bars, "candles", metadata={"dagster/row_count": len(tables.bars), **counts})
    yield dg.Output(
        files,
        "candle_files",
        metadata={
            "dagster/row_count": len(files),
            "skipped": dg.MetadataValue.json(dict(zip(skipped["file"], skipped["reason"], strict=True))),
        },
    )
    yield dg.AssetCheckResult(
        asset_key="candles",
        check_name="files_skipped",
        passed=share <= MAX_SKIPPED_SHARE,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"skipped": len(skipped), "files": len(used), "share": share},
    )


def _cached_tables(context: dg.AssetExecutionContext, lake: Lake) -> CandleTables | None:
    """Return the tables of the last run, None if they are missing, damaged, or of another version."""
    try:
        bars, files = lake.read(["candles"]), lake.read(["candle_files"])
    except LakeError as error:
        context.log.warning("%s; all candle files are read again", error)
        return None
    if bars is None or files is None:
        return None
    if list(bars.columns) != list(columns.CANDLES) or list(files.columns) != list(columns.CANDLE_FILES):
        context.log.warning("the candle tables are from another version; all candle files are read again")
        return None
    return CandleTables(bars, files.drop(columns="simulated"))


def build(_: Project) -> dg.Definitions:
    """Return the asset that reads the candle folder."""
    return dg.Definitions(assets=dg.with_source_code_references([candles]))
