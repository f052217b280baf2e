"""Bars of one exchange and timeframe as sorted arrays: what the bar store reads, merges and writes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from quant_assets.candles.bar_cleaning import FIELDS

VALUES: Final = FIELDS[1:]
SCHEMA: Final = pa.schema(
    [("symbol", pa.dictionary(pa.int32(), pa.string())), ("time_ms", pa.int64()), *((v, pa.float64()) for v in VALUES)]
)


@dataclass(frozen=True, slots=True)
class BarBlock:
    """Bars sorted by symbol and time, each time of a symbol once.

    Attributes:
        symbols: sorted, each once; one may have no bars.
        codes: int32, the place of each bar's symbol in `symbols`.
        times_ms: int64, each bar's open in epoch ms.
        values: a float64 array for each of VALUES, or none where only the times were read.
    """

    symbols: tuple[str, ...]
    codes: npt.NDArray[np.int32]
    times_ms: npt.NDArray[np.int64]
    values: tuple[npt.NDArray[np.float64], ...]

    def __len__(self) -> int:
        """Return the number of bars."""
        return len(self.times_ms)

    @classmethod
    def of_frame(cls, bars: pd.DataFrame, step_ms: int) -> BarBlock:
        """Take the bars of a table with the columns of SCHEMA, in any order; of a repeated time the last row counts.

        Raises ValueError for bars that `check_fetched_bars` would not let pass.
        """
        symbol = pd.Categorical(bars["symbol"]).remove_unused_categories()
        symbols = sorted(symbol.categories)
        codes = symbol.set_categories(symbols).codes.astype(np.int32)
        times = bars["time_ms"].to_numpy(np.int64)
        values = [bars[name].to_numpy(np.float64) for name in VALUES]
        if (codes < 0).any() or not all(isinstance(name, str) for name in symbols):
            raise ValueError("a bar without a symbol cannot be stored")
        if (times % step_ms).any() or not all(np.isfinite(column).all() for column in values):
            raise ValueError("a bar off the grid of its timeframe, or without a finite price, cannot be stored")
        order = np.lexsort((times, codes))
        codes, times = codes[order], times[order]
        is_last = np.append((np.diff(codes) != 0) | (np.diff(times) != 0), True)[: len(times)]
        order = order[is_last]
        return cls(tuple(symbols), codes[is_last], times[is_last], tuple(column[order] for column in values))

    @classmethod
    def of_table(cls, table: pa.Table, start_ms: int, end_ms: int, step_ms: int) -> BarBlock:
        """Take a stored table of bars between two times. Raises ValueError for one that the store has not written."""
        if any(column.null_count for column in table.columns):
            raise ValueError("it has empty fields")
        arrays = [column.chunk(0) if column.num_chunks else column.combine_chunks() for column in table.columns]
        symbols = arrays[0].dictionary.to_pylist()
        codes = arrays[0].indices.to_numpy()
        times = arrays[1].to_numpy()
        block = cls(tuple(symbols), codes, times, tuple(column.to_numpy() for column in arrays[2:]))
        is_inside = len(block) == 0 or bool(times.min() >= start_ms and times.max() < end_ms)
        if symbols != sorted(set(symbols)) or not is_inside or (times % step_ms).any():
            raise ValueError("its symbols or times do not belong there")
        if (np.diff(block.keys(start_ms, end_ms, step_ms)) <= 0).any():
            raise ValueError("its bars are not in order")
        return block

    def table(self) -> pa.Table:
        """Return the bars as a table of SCHEMA."""
        used = self.without_unused_symbols()
        symbols = pa.DictionaryArray.from_arrays(pa.array(used.codes), pa.array(used.symbols, pa.string()))
        return pa.table([symbols, used.times_ms, *used.values], schema=SCHEMA)

    def frame(self, exchange: str, timeframe: str) -> pd.DataFrame:
        """Return the bars as a table with the columns of CandleTables.bars."""
        used, zeros = self.without_unused_symbols(), np.zeros(len(self), np.int8)
        data: dict[str, Any] = {
            "exchange": pd.Categorical.from_codes(zeros, categories=pd.Index([exchange], dtype="str")),
            "symbol": pd.Categorical.from_codes(used.codes, categories=pd.Index(used.symbols, dtype="str")),
            "timeframe": pd.Categorical.from_codes(zeros, categories=pd.Index([timeframe], dtype="str")),
            "time_ms": self.times_ms,
        }
        return pd.DataFrame(data | dict(zip(VALUES, self.values, strict=False)), copy=False)

    def keys(self, start_ms: int, end_ms: int, step_ms: int) -> npt.NDArray[np.int64]:
        """Return a number for each bar that orders bars between two times by symbol and time."""
        slots = (end_ms - start_ms) // step_ms
        return self.codes.astype(np.int64) * slots + (self.times_ms - start_ms) // step_ms

    def where(self, chosen: npt.NDArray[np.bool_]) -> BarBlock:
        """Return some of the bars; the symbols stay."""
        places = np.flatnonzero(chosen)
        values = tuple(column[places] for column in self.values)
        return BarBlock(self.symbols, self.codes[places], self.times_ms[places], values)

    def between(self, start_ms: int, end_ms: int) -> BarBlock:
        """Return the bars that open in `[start_ms, end_ms)`."""
        chosen = (self.times_ms >= start_ms) & (self.times_ms < end_ms)
        return self if chosen.all() else self.where(chosen)

    def of_symbols(self, symbols: Collection[str]) -> BarBlock:
        """Return the bars of some symbols."""
        is_chosen = np.array([symbol in symbols for symbol in self.symbols], np.bool_)
        return self if is_chosen.all() else self.where(is_chosen[self.codes])

    def newest(self, count: int) -> BarBlock:
        """Return the newest `count` bars of each symbol."""
        spans = self.spans()
        if all(end - start <= count for _, start, end in spans):
            return self
        kept = [slice(max(start, end - count), end) for _, start, end in spans]  # much quicker than a mask
        columns = [np.concatenate([column[rows] for rows in kept]) for column in self.values]
        codes, times = (np.concatenate([column[rows] for rows in kept]) for column in (self.codes, self.times_ms))
        return BarBlock(self.symbols, codes, times, tuple(columns))

    def spans(self) -> list[tuple[str, int, int]]:
        """Return each symbol that has bars, and the places of its first bar and behind its last."""
        ends = np.cumsum(np.bincount(self.codes, minlength=len(self.symbols))).tolist()
        starts = [0, *ends][:-1]
        return [found for found in zip(self.symbols, starts, ends, strict=True) if found[1] < found[2]]

    def without_unused_symbols(self) -> BarBlock:
        """Return the same bars without the symbols that have none."""
        is_used = np.bincount(self.codes, minlength=len(self.symbols)) > 0
        if is_used.all():
            return self
        codes = (np.cumsum(is_used) - 1).astype(np.int32)
        symbols = tuple(symbol for symbol, used in zip(self.symbols, is_used, strict=True) if used)
        return BarBlock(symbols, codes[self.codes], self.times_ms, self.values)

    def with_symbols(self, symbols: tuple[str, ...]) -> BarBlock:
        """Return the same bars with other symbols, sorted, among which are all of the present ones."""
        if symbols == self.symbols:
            return self
        place = {symbol: code for code, symbol in enumerate(symbols)}
        codes = np.array([place[symbol] for symbol in self.symbols], np.int32)
        return BarBlock(symbols, codes[self.codes], self.times_ms, self.values)


def join_blocks(blocks: Sequence[BarBlock]) -> BarBlock:
    """Join one or more blocks, of which each has later times than the one before."""
    filled = [block for block in blocks if len(block)]
    if len(filled) < 2:
        return filled[0] if filled else blocks[0]
    symbols = _all_symbols(filled)
    found = [block.with_symbols(symbols) for block in filled]
    codes = np.concatenate([block.codes for block in found])
    times = np.concatenate([block.times_ms for block in found])
    # numpy sorts 16-bit numbers in linear time, and an exchange has far fewer symbols than those hold.
    order = np.argsort(codes.astype(np.uint16) if len(symbols) < 2**16 else codes, kind="stable")
    values = [np.concatenate(columns)[order] for columns in zip(*(block.values for block in found), strict=True)]
    return BarBlock(symbols, codes[order], times[order], tuple(values))


def merge_blocks(
    stored: BarBlock, fetched: BarBlock, start_ms: int, end_ms: int, step_ms: int
) -> tuple[BarBlock, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Merge bars between two times; a fetched bar replaces a stored one of the same symbol and time.

    Return all bars, and for each fetched bar whether it is new, and whether it differs from the stored one.
    """
    symbols = _all_symbols([stored, fetched])
    stored, fetched = stored.with_symbols(symbols), fetched.with_symbols(symbols)
    old, new = stored.keys(start_ms, end_ms, step_ms), fetched.keys(start_ms, end_ms, step_ms)
    places = np.searchsorted(old, new)
    is_new = np.append(old, -1)[places] != new
    places = places[~is_new]
    differs = np.zeros(len(fetched), np.bool_)
    for before, now in zip(stored.values, fetched.values, strict=True):
        differs[~is_new] |= before[places] != now[~is_new]
    is_kept = np.ones(len(stored), np.bool_)
    is_kept[places] = False
    order = np.argsort(np.concatenate([old[is_kept], new]), kind="stable")
    codes = np.concatenate([stored.codes[is_kept], fetched.codes])[order]
    times = np.concatenate([stored.times_ms[is_kept], fetched.times_ms])[order]
    pairs = zip(stored.values, fetched.values, strict=True)
    values = tuple(np.concatenate([before[is_kept], now])[order] for before, now in pairs)
    return BarBlock(symbols, codes, times, values), is_new, differs


def empty_block(columns: Sequence[str] | None = None) -> BarBlock:
    """Return a block without bars, with all values, or with those among `columns` of SCHEMA."""
    values = tuple(np.empty(0) for name in VALUES if columns is None or name in columns)
    return BarBlock((), np.empty(0, np.int32), np.empty(0, np.int64), values)


def _all_symbols(blocks: Sequence[BarBlock]) -> tuple[str, ...]:
    return tuple(sorted(set().union(*(block.symbols for block in blocks))))
