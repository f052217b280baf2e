"""What the bar store knows of each series without reading its bars: how many there are, from when to when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from quant_assets.candles.bar_block import BarBlock

SCHEMA: Final = pa.schema(
    [("symbol", pa.string()), *((name, pa.int64()) for name in ("bars", "oldest_ms", "previous_ms", "newest_ms"))]
)


@dataclass(frozen=True, slots=True)
class SeriesTimes:
    """The stored bars of a symbol: how many, and the opens of the oldest, the newest, and the one before the newest.

    Times are epoch ms; `previous_ms` is None if there is only one bar.
    """

    bars: int
    oldest_ms: int
    previous_ms: int | None
    newest_ms: int


def add_times(known: Mapping[str, SeriesTimes], block: BarBlock) -> dict[str, SeriesTimes]:
    """Return the series after bars were added to them that they did not have."""
    added = {symbol: _of_times(block.times_ms[start:end]) for symbol, start, end in block.spans()}
    both = {symbol: _join(known[symbol], times) for symbol, times in added.items() if symbol in known}
    return {**known, **added, **both}


def series_table(series: Mapping[str, SeriesTimes]) -> pa.Table:
    """Return series as a table of SCHEMA, sorted by symbol."""
    rows = [
        {
            "symbol": symbol,
            "bars": times.bars,
            "oldest_ms": times.oldest_ms,
            "previous_ms": times.previous_ms,
            "newest_ms": times.newest_ms,
        }
        for symbol, times in sorted(series.items())
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def series_of_table(table: pa.Table) -> dict[str, SeriesTimes]:
    """Return the series of a table of SCHEMA."""
    return {row.pop("symbol"): SeriesTimes(**row) for row in table.to_pylist()}


def _of_times(times: npt.NDArray[np.int64]) -> SeriesTimes:
    previous = int(times[-2]) if len(times) > 1 else None
    return SeriesTimes(len(times), int(times[0]), previous, int(times[-1]))


def _join(one: SeriesTimes, other: SeriesTimes) -> SeriesTimes:
    last = {time for times in (one, other) for time in (times.previous_ms, times.newest_ms) if time is not None}
    previous, newest = sorted(last)[-2:]
    return SeriesTimes(one.bars + other.bars, min(one.oldest_ms, other.oldest_ms), previous, newest)
