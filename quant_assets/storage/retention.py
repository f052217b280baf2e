"""How long things are kept, and removing files that are older."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from quant_assets.common.toml_config import load_config
from quant_assets.common.windows import Window, WindowError
from quant_assets.storage.lake import DOCUMENT_SUFFIX

#: What a write that was killed has left is nobody's any more after so long.
ABANDONED = timedelta(hours=1)
#: A century; times before that much ago cannot be told for every number of days.
MAX_DAYS = 36_525


class RetentionError(ValueError):
    """A retention file that cannot be used; the message names the file, the key and what is wrong with it."""


class RetentionPolicy(BaseModel):
    """For how many days what is kept: tables and feeds of windows, stored bars, and the records of Dagster's runs.

    Windows are computed from bars of two days, and the provider serves 15-minute bars of some three weeks; so bars are
    worth keeping for longer than it does, as replays of older windows have no other source.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    windows_days: float = Field(default=30, ge=2, le=MAX_DAYS)
    bars_days: float = Field(default=45, ge=3, le=MAX_DAYS)
    runs_days: float = Field(default=14, ge=1, le=MAX_DAYS)


@dataclass(frozen=True, slots=True)
class Removed:
    """How many files were removed, and how many bytes that freed."""

    files: int = 0
    size: int = 0

    def __add__(self, other: Removed) -> Removed:
        """Return the sum of both."""
        return Removed(self.files + other.files, self.size + other.size)


def load_retention(path: Path) -> RetentionPolicy:
    """Read a TOML file whose keys are the fields of RetentionPolicy; the defaults where there is no file.

    Raises RetentionError for a file that cannot be used.
    """
    return load_config(path, RetentionPolicy, RetentionError)


def prune_lake(root: Path, now: datetime, policy: RetentionPolicy) -> Removed:
    """Remove the tables and documents of windows that ended too long ago, and what killed writes have left.

    An old window that was computed lately, as a replay is, is kept for as long from then on. Only files that are named
    like a window are removed; what else lies there stays.
    """
    removed = Removed()
    limit = now - timedelta(days=policy.windows_days)
    for file in _files(root):
        window = _window_of(file)
        old = window is not None and window.end < limit and _was_written_before(file, limit)
        if old or _is_abandoned(file, now):
            removed += _remove(file)
    return removed


def prune_abandoned(folder: Path, now: datetime) -> Removed:
    """Remove what killed writes have left in a folder itself, such as that of the feed; not in those below."""
    return sum((_remove(file) for file in folder.iterdir() if file.is_file() and _is_abandoned(file, now)), Removed())


def size_of(folder: Path) -> int:
    """Return how many bytes the files below a folder hold."""
    return sum(_size(file) for file in _files(folder))


def _files(root: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(root):
        for name in names:
            yield Path(folder, name)


def _window_of(file: Path) -> Window | None:
    """Return the window that a file of the lake is about, None where it is about none."""
    stem, _, suffix = file.name.partition(".")
    if f".{suffix}" not in {".parquet", DOCUMENT_SUFFIX}:
        return None
    try:
        return Window.of_key(f"{stem[:-2]}:{stem[-2:]}")
    except WindowError:
        return None


def _is_abandoned(file: Path, now: datetime) -> bool:
    if not (file.name.startswith(".") and file.suffix == ".tmp"):
        return False
    return _was_written_before(file, now - ABANDONED)


def _was_written_before(file: Path, moment: datetime) -> bool:
    try:
        return file.stat().st_mtime < moment.timestamp()
    except FileNotFoundError:
        return False


def _remove(file: Path) -> Removed:
    size = _size(file)
    try:
        file.unlink()
    except FileNotFoundError:  # somebody else was faster
        return Removed()
    return Removed(1, size)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0
