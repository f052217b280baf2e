"""Retention: how long tables, documents and temporary files are kept, and removing older ones."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from quant_assets.common.toml_config import load_config
from quant_assets.storage.lake import Lake, window_of

#: Temporary files older than this were left by a process that was killed.
TEMPORARY_FILE_MAX_AGE = timedelta(hours=1)
#: A century; dates cannot be computed for every larger number of days.
MAX_DAYS = 36_525


class RetentionError(ValueError):
    """The retention file is invalid; the message names the file, the key and what is wrong."""


class RetentionPolicy(BaseModel):
    """How many days to keep tables and feeds of windows, stored bars, and the records of Dagster's runs.

    `bars_days` is for bars of derivatives: a window is computed from two days of them. The provider serves 15-minute
    bars of about three weeks, so keep bars longer than that: a replay of an older window has no other source.
    `exchange_bars_days` is for candles fetched from exchanges: 1,500 bars of 4h are 250 days. `trades_days` is for
    trades of published signals: the record of a window is made from those of 90 days.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    windows_days: float = Field(default=30, ge=2, le=MAX_DAYS)
    bars_days: float = Field(default=45, ge=3, le=MAX_DAYS)
    exchange_bars_days: float = Field(default=366, ge=3, le=MAX_DAYS)
    trades_days: float = Field(default=366, ge=90, le=MAX_DAYS)
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


def prune_lake(lake: Lake, now: datetime, policy: RetentionPolicy) -> Removed:
    """Remove tables and documents of old windows, and temporary files of killed writers.

    An object is removed if both its window and its last write are older than the policy allows, so the result of a
    replay is kept as long as a new one. Objects that are not named like a window are kept, and so are those of which
    the filesystem does not know the last write.
    """
    removed = Removed()
    limit = now - timedelta(days=policy.windows_days)
    for stored in lake.objects.listing():
        if stored.modified_seconds is None:
            continue
        window = window_of(stored.name)
        is_old = window is not None and window.end < limit and stored.modified_seconds < limit.timestamp()
        if (is_old or _is_leftover(stored.name, stored.modified_seconds, now)) and lake.objects.delete(stored.name):
            removed += Removed(1, stored.size)
    return removed


def prune_temporary_files(folder: Path, now: datetime) -> Removed:
    """Remove the temporary files of killed writers from a folder, without its subfolders."""
    removed = Removed()
    for file in folder.iterdir():
        try:
            status = file.stat()
            if file.is_file() and _is_leftover(file.name, status.st_mtime, now):
                file.unlink()
                removed += Removed(1, status.st_size)
        except FileNotFoundError:  # another process removed it
            continue
    return removed


def size_of_lake(lake: Lake) -> int:
    """Return the total size in bytes of the tables and documents, temporary files included."""
    return sum(stored.size for stored in lake.objects.listing())


def size_of(folder: Path) -> int:
    """Return the total size in bytes of the files below a folder."""
    return sum(_size(Path(root, name)) for root, _, names in os.walk(folder) for name in names)


def _is_leftover(name: str, modified_seconds: float, now: datetime) -> bool:
    """Return whether a file is a temporary one that no living process writes."""
    file = name.rpartition("/")[2]
    is_temporary = file.startswith(".") and file.endswith(".tmp")
    return is_temporary and modified_seconds < (now - TEMPORARY_FILE_MAX_AGE).timestamp()


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0
