"""The candle tables of both sources: a folder of candle files, and the bar store of exchanges."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import pandas as pd

from quant_assets.candles.bar_store import StoredBars
from quant_assets.candles.candle_folder import FileStatus
from quant_assets.candles.candle_sources import CandleSource, join_sources
from quant_assets.candles.candle_tables import FILE_DTYPES, CandleTables
from quant_assets.common.timeframes import STEP_MS
from quant_assets.markets import ResolutionRules

#: More bars than a series can have: what is stored is cut already, and files are read whole.
ALL_BARS: Final = 2**31


@dataclass(frozen=True, slots=True)
class JoinedTables:
    """Candle tables of both sources, and what to tell of them.

    tables: as CandleTables; `files` has a row for each series of an exchange that has no file, too, whose `file` is
        `exchange_bars/EXCHANGE/SYMBOL/TIMEFRAME`, and a column `simulated`.
    longer_files: names of the files that have more bars than the exchange's series that takes their place.
    damaged: stored objects that cannot be read.
    """

    tables: CandleTables
    longer_files: tuple[str, ...]
    damaged: tuple[str, ...]


def join_tables(
    of_files: CandleTables | None,
    stored: Sequence[StoredBars],
    rules: ResolutionRules,
    *,
    files_are_simulated: bool,
    simulated_exchanges: Collection[str],
) -> JoinedTables:
    """Return the bars of each market of both sources, each market once.

    `simulated_exchanges` are those whose bars come from an emulator.
    """
    if of_files is not None and not stored:
        return JoinedTables(CandleTables(of_files.bars, of_files.files.assign(simulated=files_are_simulated)), (), ())
    bars = None if of_files is None else of_files.bars
    joined = join_sources(bars, [each.bars for each in stored], rules, max_bars=ALL_BARS)
    empty = pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in FILE_DTYPES.items()})
    files = (empty if of_files is None else of_files.files).assign(simulated=files_are_simulated)
    # A file that could not be read has no bars: its market is here because the exchange has it.
    without = joined.series[(joined.series["source"] == CandleSource.EXCHANGE) & (joined.series["file_bars"] == 0)]
    steps_ms = without["timeframe"].map(STEP_MS).astype("int64")
    rows = without[["exchange", "symbol", "timeframe", "bars", "first_ms", "last_ms"]].assign(
        file="exchange_bars/" + without["exchange"] + "/" + without["symbol"] + "/" + without["timeframe"],
        status=FileStatus.READ.value,
        reason="",
        note="",
        simulated=without["stored_exchange"].isin(set(simulated_exchanges)),
        **dict.fromkeys(("size", "modified_ns", "inode", "dropped", "held_back"), 0),
        gaps=(without["last_ms"] - without["first_ms"]) // steps_ms + 1 - without["bars"],
    )
    every = pd.concat([files, rows[files.columns]], ignore_index=True)
    longer = joined.longer_files
    return JoinedTables(
        CandleTables(joined.bars, every.astype({**FILE_DTYPES, "simulated": "bool"})),
        tuple(f"{row.exchange}_{row.symbol}_{row.timeframe}.json" for row in longer.itertuples()),
        tuple(name for each in stored for name in each.damaged),
    )
