"""The stage `candles`: the bars of candle files and of exchanges in one table, and a table of the files."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd

from quant_assets.candles import (
    CandleFolderError,
    CandleTables,
    read_scannable_candles,
    source_is_simulated,
)
from quant_assets.candles.bar_store import BarStore, StoredBars
from quant_assets.candles.joined_tables import join_tables
from quant_assets.common.progress import Progress
from quant_assets.common.timeframes import LTF, STEP_MS
from quant_assets.orchestration import columns
from quant_assets.orchestration.exchange_source import ExchangeSource
from quant_assets.orchestration.project import Project
from quant_assets.orchestration.resources import CandleFolder, MarketRules
from quant_assets.storage.lake import Lake, LakeError

MAX_SKIPPED_SHARE = 0.05


class CandlesConfig(dg.Config):
    """The folder to read."""

    folder: str = ""
    """Folder of candle files, and no other candles; empty for those of exchanges and of the environment's folder."""
    closed_by_ms: int = 0
    """Time of the newest bars of exchanges, epoch ms; 0 for now."""
    first_end_ms: int = 0
    """End of the first of several windows, epoch ms; 0 if only the newest window matters."""


@dg.multi_asset(
    name="candles",
    group_name="candles",
    deps=["exchange_candles"],
    outs={
        "candles": dg.AssetOut(
            description=(
                "Bars of every market: 15m and 4h candles from files `EXCHANGE_SYMBOL_TIMEFRAME.json`, and the newest "
                "1,500 that were fetched from exchanges, checked and sorted by exchange, symbol, timeframe and time. "
                "A market that both have is the exchange's, under the name of its file. "
                "A bar that had not ended when its file was written is held back until the file is written again."
            ),
            metadata=columns.schema(columns.CANDLES),
            kinds={"python", "pandas", "parquet"},
            owners=["team:quant"],
        ),
        "candle_files": dg.AssetOut(
            description=(
                "One row for each file of the candle folder, and for each series of an exchange without a file: "
                "whether it was read or skipped, the number of bars, and why it was skipped. An invalid file does not "
                "affect the others."
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
    exchange_source: ExchangeSource,
    market_rules: MarketRules,
    lake: dg.ResourceParam[Lake],
    progress: dg.ResourceParam[Progress],
) -> Iterator[dg.Output[pd.DataFrame] | dg.AssetCheckResult]:
    """Read the files of the candle folder that changed, and the stored bars of exchanges."""
    started = time.perf_counter()
    folder = Path(config.folder or candle_folder.path)
    store = exchange_source.store()
    stored = [] if config.folder else _stored_bars(store, config)
    try:
        # Only the files' own table tells which of them did not change.
        known = None if store.exchanges() else _cached_tables(context, lake)
        is_optional = bool(stored) and not folder.is_dir()
        of_files = None if is_optional else read_scannable_candles(folder, known, progress)
    except CandleFolderError as error:
        raise dg.Failure(str(error), metadata={"error": CandleFolderError.__name__}, allow_retries=False) from error
    joined = join_tables(
        of_files,
        stored,
        market_rules.load(),
        files_are_simulated=source_is_simulated(folder),
        simulated_exchanges=exchange_source.simulated(),
    )
    for name in joined.damaged:
        context.log.warning("%s is damaged; its bars are fetched again", name)
    if joined.damaged:
        store.recount_all()
    tables, files = joined.tables, joined.tables.files
    skipped = files[files["status"] == "skipped"]
    used = files[files["status"] != "unused"]
    share = len(skipped) / max(len(used), 1)
    counts: dict[str, dg.MetadataValue[Any] | int | float] = {
        "folder": dg.MetadataValue.path(folder),
        "markets": len(files.loc[files["status"] == "read", ["exchange", "symbol"]].drop_duplicates()),
        "files_read": int((files["status"] == "read").sum()),
        "files_skipped": len(skipped),
        "bars_dropped": int(files["dropped"].sum()),
        "bars_held_back": int(files["held_back"].sum()),
        "gaps": int(files["gaps"].sum()),
        "longer_files": dg.MetadataValue.json(list(joined.longer_files)),
        "seconds": time.perf_counter() - started,
    }
    opens_ms = tables.bars.loc[tables.bars["timeframe"] == LTF, "time_ms"]
    if len(opens_ms):
        counts["begin_at"] = dg.MetadataValue.timestamp(float(opens_ms.min()) / 1000)
        counts["reach_to"] = dg.MetadataValue.timestamp(float(opens_ms.max() + STEP_MS[LTF]) / 1000)
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


def _stored_bars(store: BarStore, config: CandlesConfig) -> list[StoredBars]:
    if config.first_end_ms:
        return store.for_windows(config.first_end_ms, config.closed_by_ms)
    return store.newest_of_all(closed_by_ms=config.closed_by_ms or None)


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
