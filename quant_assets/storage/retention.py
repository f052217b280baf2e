"""Retention: how long files are kept, and removing older ones."""

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

#: Temporary files older than this were left by a process that was killed.
TEMPORARY_FILE_MAX_AGE = timedelta(hours=1)
#: A century; dates cannot be computed for every larger number of days.
MAX_DAYS = 36_525


class RetentionError(ValueError):
    """The retention file is invalid; the message names the file, the key and what is wrong."""


class RetentionPolicy(BaseModel):
    """How many days to keep tables and feeds of windows, stored bars, and the records of Dagster's runs.

    A window is computed from bars of two days. The provider serves 15-minute bars of about three weeks, so keep bars
    longer than that: a replay of an older window has no other source.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    windows_days: float = Field(default=30, ge=2, le=MAX_DAYS)
    bars_days: float = Field(default=45, ge=3, le=MAX_DAYS)
    runs_days: float = Field(default=14, ge=1, le=MAX_DAYS)


@dataclass(frozen=True, slots=True)
class Removed:
    """The number of removed files, and their size in bytes."""

    files: int = 0
    size: int = 0

    def __add__(self, other: Removed) -> Removed:
        """Return the sum of both."""
        return Removed(self.files + other.files, self.size + other.size)


def load_retention(path: Path) -> RetentionPolicy:
    """Read a TOML file whose keys are the fields of RetentionPolicy; return the defaults if it does not exist.

    Raises RetentionError if the file is invalid.
    """
    return load_config(path, RetentionPolicy, RetentionError)


def prune_lake(root: Path, now: datetime, policy: RetentionPolicy) -> Removed:
    """Remove tables and documents of old windows, and old temporary files.

    A file is removed if both its window and its last write are older than the policy allows, so the result of a replay
    is kept as long as a new one. Files that are not named like a window are kept.
    """
    removed = Removed()
    limit = now - timedelta(days=policy.windows_days)
    for file in _files(root):
        window = _window_of(file)
        is_old = window is not None and window.end < limit and _was_written_before(file, limit)
        if is_old or _is_old_temporary_file(file, now):
            removed += _remove(file)
    return removed


def prune_temporary_files(folder: Path, now: datetime) -> Removed:
    """Remove old temporary files from a folder, without its subfolders."""
    return sum(
        (_remove(file) for file in folder.iterdir() if file.is_file() and _is_old_temporary_file(file, now)), Removed()
    )


def size_of(folder: Path) -> int:
    """Return the total size in bytes of the files below a folder."""
    return sum(_size(file) for file in _files(folder))


def _files(root: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(root):
        for name in names:
            yield Path(folder, name)


def _window_of(file: Path) -> Window | None:
    """Return the window that a file of the lake belongs to, None if it belongs to none."""
    stem, _, suffix = file.name.partition(".")
    if f".{suffix}" not in {".parquet", DOCUMENT_SUFFIX}:
        return None
    try:
        return Window.of_key(f"{stem[:-2]}:{stem[-2:]}")
    except WindowError:
        return None


def _is_old_temporary_file(file: Path, now: datetime) -> bool:
    if not (file.name.startswith(".") and file.suffix == ".tmp"):
        return False
    return _was_written_before(file, now - TEMPORARY_FILE_MAX_AGE)


def _was_written_before(file: Path, moment: datetime) -> bool:
    try:
        return file.stat().st_mtime < moment.timestamp()
    except FileNotFoundError:
        return False


def _remove(file: Path) -> Removed:
    size = _size(file)
    try:
        file.unlink()
    except FileNotFoundError:  # another process removed it
        return Removed()
    return Removed(1, size)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0
