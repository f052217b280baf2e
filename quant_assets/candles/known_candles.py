"""What the last read of a candle folder left, for files that are still the same."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from quant_assets.candles.candle_file import FileIdentity

_MARKET = ["exchange", "symbol", "timeframe"]


class KnownRow(NamedTuple):
    """A row of the files table, as far as it speaks of a file's content."""

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


class KnownCandles:
    """The candle tables of the last read, by file; tables that do not fit one another know nothing."""

    def __init__(self, bars: pd.DataFrame, files: pd.DataFrame) -> None:
        self.bars = bars
        read = files[files["status"] == "read"].sort_values(_MARKET)
        ends = read["bars"].to_numpy(dtype=np.int64).cumsum()
        starts = ends - read["bars"].to_numpy(dtype=np.int64)
        self._spans: dict[str, slice] = dict(
            zip(read["file"].tolist(), map(slice, starts.tolist(), ends.tolist()), strict=True)
        )
        self._rows: dict[str, KnownRow] = {}
        if self._fits(read, starts, ends):
            columns = [files[name].tolist() for name in KnownRow._fields]
            self._rows = {row[0]: KnownRow(*row) for row in zip(*columns, strict=True)}

    def row(self, file: str, identity: FileIdentity) -> KnownRow | None:
        """Return the row of a file that is still the same, or None."""
        row = self._rows.get(file)
        same = row is not None and FileIdentity(row.size, row.modified_ns, row.inode) == identity
        return row if same else None

    def span(self, file: str) -> slice:
        """Return which rows of `bars` are those of a file that was read."""
        return self._spans[file]

    def _fits(self, read: pd.DataFrame, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> bool:
        if len(self.bars) != (ends[-1] if len(ends) else 0):
            return False
        return all(
            self.bars[name].take(starts).tolist() == read[name].tolist()  # where a file's bars begin
            and self.bars[name].take(ends - 1).tolist() == read[name].tolist()  # and where they end
            for name in _MARKET
        )
