"""The candle tables: every bar of a folder of candle files, and what became of each file."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from quant_assets.candles.candle_file import (
    FIELDS,
    CandleFileError,
    CandleFileUnread,
    FileIdentity,
    parse_bars,
    read_content,
    refuse_larger,
)
from quant_assets.candles.forming_bars import hold_back_forming_bars
from quant_assets.candles.known_candles import KnownCandles
from quant_assets.common.progress import Progress, silent
from quant_assets.markets.names import CandleNameError, FileName, parse_file_name

STEP_MS = {"15m": 15 * 60_000, "4h": 4 * 3_600_000}

SIMULATED_MARK = ".simulated"

UNREAD = FileIdentity(0, 0, 0)  # of a file whose content was not had; no file is ever like it

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


class CandleFolderError(ValueError):
    """A folder that gives no candles at all; the message says why, and what would help."""


@dataclass(frozen=True, slots=True)
class CandleTables:
    """All bars of a folder, and all its files.

    bars, sorted by exchange, symbol, timeframe (as text), time_ms: exchange, symbol, timeframe: category;
        time_ms: int64, the bar's open in epoch ms; open, high, low, close, volume: float64. Only 15m and 4h.
    files, one row for each entry of the folder that is not hidden, sorted by name: file; exchange, symbol,
        timeframe ("" where the name is of another form); size (bytes), modified_ns, inode: int64, all three 0
        where no content was had, so that the file is tried again; status "read", "skipped" or "unused" (a
        timeframe that nothing uses); reason ("" when read); bars, dropped: int64; held_back: int64, bars that had
        not ended when the file was written; note (what was left out or rearranged, and why); gaps: int64, places
        where bars are missing; first_ms, last_ms: float64, NaN = no bars.
    """

    bars: pd.DataFrame
    files: pd.DataFrame


def read_candles(folder: Path, known: CandleTables | None = None, progress: Progress = silent) -> CandleTables:
    """Read every candle file of a folder; one bad file never costs another.

    `known` is the result of the last read: a file whose name, size, modification time and inode are the same is
    not parsed again, and where nothing changed at all `known` itself is returned. Raises CandleFolderError where
    there is no such folder, or no candle file in it, and where the folder goes while it is read: what was had by
    then is no state that it ever was in.
    """
    entries = _candle_entries(folder)
    home = os.path.realpath(folder)
    last = KnownCandles(known.bars, known.files) if known else None
    for entry in entries:
        if entry.status == "":
            _look(entry, home, last)
    new = [entry for entry in entries if entry.status == ""]
    if known is None or new or not _files_table(entries).equals(known.files):
        bars = _bars_table(entries, last, progress)
        known = CandleTables(bars, _files_table(entries))
    if not folder.is_dir():
        raise CandleFolderError(f"{folder} was removed while it was read")
    parsed = sum(entry.identity is not UNREAD for entry in new)
    skipped = sum(entry.status == "skipped" for entry in entries)
    progress("candles", len(entries), len(entries), f"{parsed} files parsed, {skipped} skipped")
    return known


def check_candle_folder(folder: Path, timeframes: Iterable[str] = STEP_MS) -> None:
    """Raise the CandleFolderError that `read_candles` would, and one where no file is of one of the timeframes.

    Only names are looked at, nothing is read.
    """
    names = [entry.name for entry in _candle_entries(folder) if entry.name]
    there = {name.timeframe for name in names}
    missing = [timeframe for timeframe in timeframes if timeframe not in there]
    if missing:
        examples = (f"{names[0].exchange}_{names[0].symbol}_{timeframe}.json" for timeframe in missing)
        raise CandleFolderError(
            f"{folder} has no {' or '.join(missing)} candle file; "
            f"each market needs one, such as {' and '.join(examples)}"
        )


def require_readable_candles(folder: Path, files: pd.DataFrame) -> None:
    """Raise CandleFolderError where `read_candles` could read none of a folder's files."""
    if (files["status"] == "read").any():
        return
    skipped = files[files["status"] == "skipped"]
    first = f"; the first, {skipped['file'].iloc[0]}: {skipped['reason'].iloc[0]}" if len(skipped) else ""
    raise CandleFolderError(f"no candle file of {folder} can be read ({len(skipped)} skipped{first})")


def markets_named(folder: Path) -> list[tuple[str, str]]:
    """Return exchange and symbol of the files of timeframes in use, sorted; only names are looked at.

    Raises CandleFolderError as `read_candles` does.
    """
    return sorted({entry.market[:2] for entry in _candle_entries(folder) if entry.name and entry.status == ""})


def source_is_simulated(folder: Path) -> bool:
    """Tell whether a folder's candles are simulated: a hidden file `.simulated` lies in it."""
    return (folder / SIMULATED_MARK).is_file()


@dataclass(slots=True)
class _Entry:
    """What becomes one row of the files table; `status` is "" until the file has been looked at."""

    path: str
    file: str
    name: FileName | None
    status: str
    reason: str
    identity: FileIdentity = UNREAD
    dropped: int = 0
    held_back: int = 0
    note: str = ""
    gaps: int = 0
    bars: int = 0
    first_ms: float = np.nan
    last_ms: float = np.nan

    @property
    def market(self) -> tuple[str, str, str]:
        """Exchange, symbol and timeframe, empty where the name is of another form."""
        return (self.name.exchange, self.name.symbol, self.name.timeframe) if self.name else ("", "", "")


def _candle_entries(folder: Path) -> list[_Entry]:
    """List the folder as `_entries` does; raise CandleFolderError where no name is that of a candle file."""
    entries = _entries(folder)
    if not any(entry.name for entry in entries):
        raise CandleFolderError(
            f"{folder} holds no candle file; they are named EXCHANGE_SYMBOL_TIMEFRAME.json, "
            "such as BINANCE_BTCUSDT_15m.json"
        )
    return entries


def _entries(folder: Path) -> list[_Entry]:
    """List the folder by name, with all that the names alone decide."""
    try:
        with os.scandir(folder) as listing:
            paths = sorted((entry.name, entry.path) for entry in listing if not entry.name.startswith("."))
    except FileNotFoundError:
        raise CandleFolderError(f"there is no folder {folder}; give one that holds candle files") from None
    except NotADirectoryError:
        raise CandleFolderError(f"{folder} is no folder; give the folder that the candle files lie in") from None
    except OSError as error:
        raise CandleFolderError(f"{folder} cannot be listed: {error.strerror or error}") from None
    first_of: dict[FileName, str] = {}
    return [_entry(name, path, first_of) for name, path in paths]


def _entry(raw_name: str, path: str, first_of: dict[FileName, str]) -> _Entry:
    file = os.fsencode(raw_name).decode("utf-8", "backslashreplace")  # a name need not be UTF-8; a table's text is
    if file != raw_name:
        return _Entry(path, file, None, "skipped", "the name is not UTF-8")
    try:
        name = parse_file_name(raw_name)
    except CandleNameError as error:
        return _Entry(path, file, None, "skipped", str(error))
    if name.timeframe not in STEP_MS:
        return _Entry(path, file, name, "unused", f"nothing uses the timeframe {name.timeframe}")
    if (first := first_of.setdefault(name, file)) is not file:
        return _Entry(path, file, name, "skipped", f"names the same market and timeframe as {first}")
    return _Entry(path, file, name, "", "")


def _look(entry: _Entry, home: str, last: KnownCandles | None) -> None:
    """Fill the entry from the last read where its file is still the same; its status stays "" where it is not.

    A file that is too large is refused here, before the tables are made as long as all files could make them.
    """
    try:
        entry.path, entry.identity = _locate(entry.path, home)
        refuse_larger(entry.identity.size)
    except CandleFileError as error:
        entry.status, entry.reason = "skipped", str(error)
        return
    row = None if last is None else last.row(entry.file, entry.identity)
    if row is not None:
        entry.status, entry.reason, entry.note = row.status, row.reason, row.note
        entry.dropped, entry.held_back, entry.gaps, entry.bars = row.dropped, row.held_back, row.gaps, row.bars
        entry.first_ms, entry.last_ms = row.first_ms, row.last_ms


def _read(entry: _Entry) -> npt.NDArray[np.float64] | None:
    """Fill the entry from its file; returns its bars in the shape of FileBars.columns, None where it is skipped."""
    try:
        content, entry.identity = read_content(entry.path)
        step_ms = STEP_MS[entry.market[2]]
        found, entry.held_back = hold_back_forming_bars(parse_bars(content, step_ms), step_ms, entry.identity)
    except CandleFileError as error:
        entry.status, entry.reason = "skipped", str(error)
        if isinstance(error, CandleFileUnread):
            entry.identity = UNREAD
        return None
    entry.status, entry.dropped, entry.note, entry.gaps = "read", found.dropped, found.note, found.gaps
    entry.bars = found.columns.shape[1]
    entry.first_ms, entry.last_ms = float(found.columns[0, 0]), float(found.columns[0, -1])
    return found.columns


def _locate(path: str, home: str) -> tuple[str, FileIdentity]:
    """Return where a file is, links followed inside the folder only, and its identity; raises CandleFileUnread."""
    try:
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            path = os.path.realpath(path, strict=True)
            if os.path.commonpath([home, path]) != home:
                raise CandleFileUnread("a symbolic link that leaves the folder")
            status = os.lstat(path)
    except OSError as error:
        raise CandleFileUnread(f"cannot be read: {error.strerror or error}") from None
    if not stat.S_ISREG(status.st_mode):
        raise CandleFileUnread("a folder, not a file" if stat.S_ISDIR(status.st_mode) else "not a regular file")
    return path, FileIdentity.of(status)


def _bars_table(entries: Sequence[_Entry], last: KnownCandles | None, progress: Progress) -> pd.DataFrame:
    """Put the bars of all files into one table: those of the last read, and those of the files that are read now.

    Each file's bars go where they belong as soon as they are read, so that no bar is in memory twice: the arrays are
    as long as the files can make them, and what stays untouched at their end takes no memory.
    """
    chosen = sorted((entry for entry in entries if entry.status in ("", "read")), key=lambda entry: entry.market)
    most = sum(entry.bars or entry.identity.size // MIN_BAR_BYTES + 1 for entry in chosen)
    numbers = {name: np.empty(most, dtype) for name, dtype in NUMBERS.items()}
    before = {} if last is None else {name: last.bars[name].to_numpy() for name in NUMBERS}
    start = 0
    for done, entry in enumerate(chosen):
        if done % _PROGRESS_EVERY == 0:
            progress("candles", done, len(entries))
        columns: Iterable[npt.NDArray[Any]] | None
        if last is not None and entry.status == "read":
            span = last.span(entry.file)
            columns = [column[span] for column in before.values()]
        else:
            columns = _read(entry)
        if columns is not None:
            if start + entry.bars > most:  # files have grown since they were listed
                most = 2 * (start + entry.bars)
                numbers = {name: np.resize(column, most) for name, column in numbers.items()}
            for column, some in zip(numbers.values(), columns, strict=True):
                column[start : start + entry.bars] = some
            start += entry.bars
    read = [entry for entry in chosen if entry.status == "read"]
    counts = [entry.bars for entry in read]
    data: dict[str, Any] = {
        part: _repeated([entry.market[place] for entry in read], counts)
        for place, part in enumerate(("exchange", "symbol", "timeframe"))
    }
    return pd.DataFrame(data | {name: column[:start] for name, column in numbers.items()}, copy=False)


def _repeated(values: Sequence[str], counts: Sequence[int]) -> pd.Categorical:
    """Return each value as often as counted, as a category whose order is that of the text."""
    categories = sorted(set(values))
    place = {value: code for code, value in enumerate(categories)}
    codes = np.repeat(np.array([place[value] for value in values], dtype=np.int32), counts)
    return pd.Categorical.from_codes(codes, categories=pd.Index(categories, dtype="str"))


def _files_table(entries: Sequence[_Entry]) -> pd.DataFrame:
    rows = [
        (
            *(entry.file, *entry.market, entry.identity.size, entry.identity.modified_ns, entry.identity.inode),
            *(entry.status, entry.reason, entry.bars, entry.dropped, entry.held_back, entry.note, entry.gaps),
            *(entry.first_ms, entry.last_ms),
        )
        for entry in entries
    ]
    columns = zip(FILE_DTYPES, zip(*rows, strict=True), strict=True)
    return pd.DataFrame({name: pd.Series(list(values), dtype=FILE_DTYPES[name]) for name, values in columns})
