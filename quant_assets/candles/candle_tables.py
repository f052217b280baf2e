"""Read a candle folder into tables: every bar, and what became of each file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from quant_assets.candles.bar_cleaning import FIELDS
from quant_assets.candles.bar_parsing import parse_bars
from quant_assets.candles.candle_file import CandleFileError, CandleFileUnreadable, check_size, read_content
from quant_assets.candles.candle_folder import (
    UNREAD,
    CandleFolderError,
    FileStatus,
    FolderEntry,
    check_candle_folder,
    list_entries,
    locate_file,
)
from quant_assets.candles.forming_bars import hold_back_forming_bars
from quant_assets.candles.previous_read import PreviousRead
from quant_assets.common.progress import Progress, silent
from quant_assets.common.timeframes import STEP_MS

FILE_DTYPES = {
    **dict.fromkeys(("file", "exchange", "symbol", "timeframe"), "str"),
    **dict.fromkeys(("size", "modified_ns", "inode"), "int64"),
    **dict.fromkeys(("status", "reason"), "str"),
    **dict.fromkeys(("bars", "dropped", "held_back"), "int64"),
    "note": "str",
    "gaps": "int64",
    **dict.fromkeys(("first_ms", "last_ms"), "float64"),
}
NUMBERS = {"time_ms": "int64", **dict.fromkeys(FIELDS[1:], "float64")}
MIN_BAR_BYTES = len('{"time":1,"open":1,"high":1,"low":1,"close":1,"volume":1}')
_PROGRESS_EVERY = 32


@dataclass(frozen=True, slots=True)
class CandleTables:
    """The bars and the files of a candle folder.

    bars, sorted by exchange, symbol, timeframe (as text), time_ms: exchange, symbol, timeframe: category;
        time_ms: int64, the bar's open in epoch ms; open, high, low, close, volume: float64. Only 15m and 4h.
    files, one row for each entry of the folder that is not hidden, sorted by name: file; exchange, symbol,
        timeframe ("" where the name has another form); size (bytes), modified_ns, inode: int64, all three 0
        where the content could not be read, so that the file is tried again; status: a value of FileStatus; reason
        ("" when read); bars, dropped: int64; held_back: int64, bars that had not closed when the file was
        written; note (what was dropped or reordered, and why); gaps: int64, places where bars are missing;
        first_ms, last_ms: float64, NaN = no bars.
    """

    bars: pd.DataFrame
    files: pd.DataFrame


def read_candles(folder: Path, known: CandleTables | None = None, progress: Progress = silent) -> CandleTables:
    """Read every candle file of a folder; an invalid file is skipped and never affects another.

    `known` is the result of the previous read: a file with the same name, size, modification time and inode is not
    parsed again, and `known` itself is returned where nothing changed. Raises CandleFolderError for a folder that is
    missing, has no candle file, or is removed during the read.
    """
    entries = list_entries(folder)
    real_folder = os.path.realpath(folder)
    last = PreviousRead(known.bars, known.files) if known else None
    for entry in entries:
        if entry.status is None:
            _reuse_if_unchanged(entry, real_folder, last)
    new = [entry for entry in entries if entry.status is None]
    if known is None or new or not _files_table(entries).equals(known.files):
        bars = _candles_table(entries, last, progress)
        known = CandleTables(bars, _files_table(entries))
    if not folder.is_dir():
        raise CandleFolderError(f"Folder {folder} was removed while it was read")
    parsed = sum(entry.identity is not UNREAD for entry in new)
    skipped = sum(entry.status is FileStatus.SKIPPED for entry in entries)
    progress("candles", len(entries), len(entries), f"{parsed} files parsed, {skipped} skipped")
    return known


def read_scannable_candles(
    folder: Path, known: CandleTables | None = None, progress: Progress = silent
) -> CandleTables:
    """Read a folder as `read_candles` does, and refuse one that cannot be scanned.

    Also raises CandleFolderError if there is no file of one of the timeframes, or if no file can be read.
    """
    check_candle_folder(folder)
    tables = read_candles(folder, known, progress)
    if not (tables.files["status"] == FileStatus.READ).any():
        skipped = tables.files[tables.files["status"] == FileStatus.SKIPPED]
        first = f"; the first, {skipped['file'].iloc[0]}: {skipped['reason'].iloc[0]}" if len(skipped) else ""
        raise CandleFolderError(f"no candle file of {folder} can be read ({len(skipped)} skipped{first})")
    return tables


def _reuse_if_unchanged(entry: FolderEntry, real_folder: str, last: PreviousRead | None) -> None:
    """Fill the entry from the previous read if its file has not changed; otherwise leave its status None.

    A file that is too large is skipped here, before arrays are allocated by the files' sizes.
    """
    try:
        entry.path, entry.identity = locate_file(entry.path, real_folder)
        check_size(entry.identity.size)
    except CandleFileError as error:
        entry.status, entry.reason = FileStatus.SKIPPED, str(error)
        return
    row = None if last is None else last.row(entry.file, entry.identity)
    if row is not None:
        entry.status, entry.reason, entry.note = FileStatus(row.status), row.reason, row.note
        entry.dropped, entry.held_back, entry.gaps, entry.bars = row.dropped, row.held_back, row.gaps, row.bars
        entry.first_ms, entry.last_ms = row.first_ms, row.last_ms


def _read_file(entry: FolderEntry) -> npt.NDArray[np.float64] | None:
    """Fill the entry from its file; return its bars in the shape of FileBars.columns, None where it is skipped."""
    try:
        content, entry.identity = read_content(entry.path)
        step_ms = STEP_MS[entry.key[2]]
        found, entry.held_back = hold_back_forming_bars(parse_bars(content, step_ms), step_ms, entry.identity)
    except CandleFileError as error:
        entry.status, entry.reason = FileStatus.SKIPPED, str(error)
        if isinstance(error, CandleFileUnreadable):
            entry.identity = UNREAD
        return None
    entry.status, entry.dropped, entry.note, entry.gaps = FileStatus.READ, found.dropped, found.note, found.gaps
    entry.bars = found.columns.shape[1]
    entry.first_ms, entry.last_ms = float(found.columns[0, 0]), float(found.columns[0, -1])
    return found.columns


def _candles_table(entries: Sequence[FolderEntry], last: PreviousRead | None, progress: Progress) -> pd.DataFrame:
    """Return one table of the bars of all files: unchanged files from the previous read, the others read now.

    Each file's bars are copied into the final arrays as soon as they are read, so that no bar is in memory twice.
    The arrays have the largest length that the files allow; pages that are never written take no memory.
    """
    chosen = sorted(
        (entry for entry in entries if entry.status in (None, FileStatus.READ)), key=lambda entry: entry.key
    )
    max_bars = sum(entry.bars or entry.identity.size // MIN_BAR_BYTES + 1 for entry in chosen)
    numbers = {name: np.empty(max_bars, dtype) for name, dtype in NUMBERS.items()}
    previous = {} if last is None else {name: last.bars[name].to_numpy() for name in NUMBERS}
    start = 0
    for done, entry in enumerate(chosen):
        if done % _PROGRESS_EVERY == 0:
            progress("candles", done, len(entries))
        columns: Iterable[npt.NDArray[Any]] | None
        if last is not None and entry.status is FileStatus.READ:
            span = last.span(entry.file)
            columns = [column[span] for column in previous.values()]
        else:
            columns = _read_file(entry)
        if columns is not None:
            if start + entry.bars > max_bars:  # files have grown since they were listed
                max_bars = 2 * (start + entry.bars)
                numbers = {name: np.resize(column, max_bars) for name, column in numbers.items()}
            for column, values in zip(numbers.values(), columns, strict=True):
                column[start : start + entry.bars] = values
            start += entry.bars
    read = [entry for entry in chosen if entry.status is FileStatus.READ]
    counts = [entry.bars for entry in read]
    data: dict[str, Any] = {
        part: repeat_values([entry.key[place] for entry in read], counts)
        for place, part in enumerate(("exchange", "symbol", "timeframe"))
    }
    return pd.DataFrame(data | {name: column[:start] for name, column in numbers.items()}, copy=False)


def repeat_values(values: Sequence[str], counts: Sequence[int]) -> pd.Categorical:
    """Return each value repeated `counts` times, as a categorical with sorted categories."""
    categories = sorted(set(values))
    place = {value: code for code, value in enumerate(categories)}
    codes = np.repeat(np.array([place[value] for value in values], dtype=np.int32), counts)
    return pd.Categorical.from_codes(codes, categories=pd.Index(categories, dtype="str"))


def _files_table(entries: Sequence[FolderEntry]) -> pd.DataFrame:
    rows = [
        (
            *(entry.file, *entry.key, entry.identity.size, entry.identity.modified_ns, entry.identity.inode),
            *("" if entry.status is None else entry.status.value, entry.reason),
            *(entry.bars, entry.dropped, entry.held_back, entry.note, entry.gaps, entry.first_ms, entry.last_ms),
        )
        for entry in entries
    ]
    columns = zip(FILE_DTYPES, zip(*rows, strict=True), strict=True)
    return pd.DataFrame({name: pd.Series(list(values), dtype=FILE_DTYPES[name]) for name, values in columns})
