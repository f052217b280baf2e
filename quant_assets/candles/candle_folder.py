"""List a folder of candle files, and check that it has files that can be used."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from quant_assets.candles.candle_file import CandleFileUnreadable
from quant_assets.common.file_identity import FileIdentity
from quant_assets.common.timeframes import STEP_MS
from quant_assets.markets.symbols import CandleNameError, FileName, parse_file_name

SIMULATED_MARK = ".simulated"

UNREAD = FileIdentity(0, 0, 0)  # of a file that could not be read; differs from every real file


class CandleFolderError(ValueError):
    """A folder without any candles; the message says why, and what to do."""


class FileStatus(StrEnum):
    """What became of an entry of the candle folder."""

    READ = "read"
    SKIPPED = "skipped"
    UNUSED = "unused"
    """Of a timeframe that nothing uses."""


@dataclass(slots=True)
class FolderEntry:
    """An entry of the folder, and its row in the files table; `status` is None until the file has been read."""

    path: str
    file: str
    name: FileName | None
    status: FileStatus | None
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
    def key(self) -> tuple[str, str, str]:
        """Exchange, symbol and timeframe, all empty where the name has another form."""
        return (self.name.exchange, self.name.symbol, self.name.timeframe) if self.name else ("", "", "")


def check_candle_folder(folder: Path, timeframes: Iterable[str] = STEP_MS) -> None:
    """Raise CandleFolderError where the folder holds no candle file of one of the timeframes.

    Looks at names alone and reads no file. Also raises it if the folder cannot be listed.
    """
    names = [entry.name for entry in list_entries(folder) if entry.name]
    present = {name.timeframe for name in names}
    missing = [timeframe for timeframe in timeframes if timeframe not in present]
    if missing:
        examples = (f"{names[0].exchange}_{names[0].symbol}_{timeframe}.json" for timeframe in missing)
        raise CandleFolderError(
            f"{folder} has no {' or '.join(missing)} candle file; "
            f"each market needs one, such as {' and '.join(examples)}"
        )


def list_markets(folder: Path) -> list[tuple[str, str]]:
    """Return exchange and symbol of the files of used timeframes, sorted; reads no file.

    Raises CandleFolderError as `list_entries` does.
    """
    return sorted({entry.key[:2] for entry in list_entries(folder) if entry.name and entry.status is None})


def source_is_simulated(folder: Path) -> bool:
    """Tell whether a folder's candles are simulated: it then holds a hidden file `.simulated`."""
    return (folder / SIMULATED_MARK).is_file()


def list_entries(folder: Path) -> list[FolderEntry]:
    """Return the entries that are not hidden, sorted by name, with the status that the names alone decide.

    Raises CandleFolderError for a folder that cannot be listed, or holds no candle file.
    """
    try:
        with os.scandir(folder) as listing:
            paths = sorted((entry.name, entry.path) for entry in listing if not entry.name.startswith("."))
    except FileNotFoundError:
        raise CandleFolderError(f"Folder not found: {folder}. Give a folder that holds candle files.") from None
    except NotADirectoryError:
        raise CandleFolderError(f"Not a folder: {folder}. Give the folder that holds the candle files.") from None
    except OSError as error:
        raise CandleFolderError(f"Folder {folder} cannot be listed: {error.strerror or error}") from None
    first_of: dict[FileName, str] = {}
    entries = [_entry(name, path, first_of) for name, path in paths]
    if not any(entry.name for entry in entries):
        raise CandleFolderError(
            f"No candle files in {folder}: expected names EXCHANGE_SYMBOL_TIMEFRAME.json, "
            "such as BINANCE_BTCUSDT_15m.json"
        )
    return entries


def _entry(raw_name: str, path: str, first_of: dict[FileName, str]) -> FolderEntry:
    """Return the entry of a file; `first_of` collects the first file of each market and timeframe."""
    file = os.fsencode(raw_name).decode("utf-8", "backslashreplace")  # tables hold UTF-8 only; file names need not be
    if file != raw_name:
        return FolderEntry(path, file, None, FileStatus.SKIPPED, "the name is not UTF-8")
    try:
        name = parse_file_name(raw_name)
    except CandleNameError as error:
        return FolderEntry(path, file, None, FileStatus.SKIPPED, str(error))
    if name.timeframe not in STEP_MS:
        return FolderEntry(path, file, name, FileStatus.UNUSED, f"nothing uses the timeframe {name.timeframe}")
    if (first := first_of.setdefault(name, file)) is not file:
        return FolderEntry(path, file, name, FileStatus.SKIPPED, f"names the same market and timeframe as {first}")
    return FolderEntry(path, file, name, None, "")


def locate_file(path: str, real_folder: str) -> tuple[str, FileIdentity]:
    """Return a file's path and identity; follows a symbolic link if its target is inside `real_folder`.

    Raises CandleFileUnreadable for a link that leaves the folder, and for anything but a regular file.
    """
    try:
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            path = os.path.realpath(path, strict=True)
            if os.path.commonpath([real_folder, path]) != real_folder:
                raise CandleFileUnreadable("a symbolic link that leaves the folder")
            status = os.lstat(path)
    except OSError as error:
        raise CandleFileUnreadable(f"cannot be read: {error.strerror or error}") from None
    if not stat.S_ISREG(status.st_mode):
        raise CandleFileUnreadable("a folder, not a file" if stat.S_ISDIR(status.st_mode) else "not a regular file")
    return path, FileIdentity.of(status)
