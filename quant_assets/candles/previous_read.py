"""The tables of the previous read of a candle folder, indexed by file."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from quant_assets.candles.candle_folder import FileStatus
from quant_assets.common.file_identity import FileIdentity

_MARKET = ["exchange", "symbol", "timeframe"]


class PreviousFile(NamedTuple):
    """The columns of the files table that describe a file's content."""

    file: str
    size: int
    modified_ns: int
    inode: int
    status: str
    reason: str
    note: str
    dropped: int
    held_back: int
    gaps: int
    bars: int
    first_ms: float
    last_ms: float


class PreviousRead:
    """The candle tables of the previous read; empty where the two tables contradict each other."""

    def __init__(self, bars: pd.DataFrame, files: pd.DataFrame) -> None:
        self.bars = bars
        read = files[files["status"] == FileStatus.READ.value].sort_values(_MARKET)
        ends = read["bars"].to_numpy(dtype=np.int64).cumsum()
        starts = ends - read["bars"].to_numpy(dtype=np.int64)
        self._spans: dict[str, slice] = dict(
            zip(read["file"].tolist(), map(slice, starts.tolist(), ends.tolist()), strict=True)
        )
        self._rows: dict[str, PreviousFile] = {}
        if self._is_consistent(read, starts, ends):
            columns = [files[name].tolist() for name in PreviousFile._fields]
            self._rows = {row[0]: PreviousFile(*row) for row in zip(*columns, strict=True)}

    def row(self, file: str, identity: FileIdentity) -> PreviousFile | None:
        """Return the row of a file that has not changed, or None."""
        row = self._rows.get(file)
        same = row is not None and FileIdentity(row.size, row.modified_ns, row.inode) == identity
        return row if same else None

    def span(self, file: str) -> slice:
        """Return which rows of `bars` belong to a file that was read."""
        return self._spans[file]

    def _is_consistent(self, read: pd.DataFrame, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> bool:
        """Tell whether the bars are those that the files table describes."""
        if len(self.bars) != (ends[-1] if len(ends) else 0):
            return False
        return all(
            self.bars[name].take(starts).tolist() == read[name].tolist()  # the first bar of each file
            and self.bars[name].take(ends - 1).tolist() == read[name].tolist()  # and its last bar
            for name in _MARKET
        )
