"""Closed bars of each market, as arrays.

Signals get their candles from here only, so that no bar that closed after the window's end is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from quant_assets.common.timeframes import HTF, LTF, STEP_MS
from quant_assets.common.windows import Window

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Columns = dict[str, Any]
"""Name of a field → an array or list with one element per market."""
_BarColumns = tuple[Ints, Floats, Floats, Floats, Floats]

MAX_BARS = 1500
"""Newest bars of a timeframe that signals use."""


@dataclass(frozen=True, slots=True)
class Bars:
    """Closed bars of one market and timeframe, oldest first; all arrays have the same length and are contiguous."""

    time_ms: Ints
    """Opening of each bar, epoch ms."""
    high: Floats
    low: Floats
    close: Floats
    volume: Floats

    def __len__(self) -> int:
        """Count the bars."""
        return len(self.close)


@dataclass(frozen=True, slots=True)
class MarketBars:
    """Both timeframes of one market; at least one has a bar."""

    exchange: str
    symbol: str
    ltf: Bars
    htf: Bars


EMPTY_BARS = Bars(np.empty(0, np.int64), np.empty(0), np.empty(0), np.empty(0), np.empty(0))


def bars_of(table: pd.DataFrame, timeframe: str, window: Window) -> Bars:
    """Return one market's bars of one timeframe from a table with time_ms, high, low, close, volume.

    Rows are sorted by time, oldest first; bars that are not closed by the window's end are left out.
    Raises ValueError if the times do not increase.
    """
    columns = _columns(table)
    if not _is_increasing(columns[0]).all():
        raise ValueError(f"{timeframe} bars are not sorted by time_ms, or contain a time twice")
    return _slice_bars(columns, 0, len(table), timeframe, window)


def market_bars(table: pd.DataFrame, window: Window) -> list[MarketBars]:
    """Split the candles table into markets, sorted by exchange and symbol.

    `table` is the candles table (exchange, symbol, timeframe, time_ms, high, low, close, volume), sorted by its first
    four columns; timeframes other than 15m and 4h are ignored. A market without a closed bar is left out.
    Raises ValueError if the table is not sorted or contains a bar twice.
    """
    if table.empty:
        return []
    keys = [_category_codes(table[name]) for name in ("exchange", "symbol", "timeframe")]
    columns = _columns(table)
    is_border = np.zeros(len(table) - 1, dtype=bool)
    for codes, _ in keys:
        is_border |= codes[1:] != codes[:-1]
    if not (is_border | _is_increasing(columns[0])).all():
        raise ValueError("Candles table is not sorted by time_ms within a market, or contains a time twice")

    starts = [0, *(np.flatnonzero(is_border) + 1).tolist()]
    stops = [*starts[1:], len(table)]
    names = [[texts[code] for code in codes[starts]] for codes, texts in keys]
    cut: dict[tuple[str, str, str], Bars] = {}
    for exchange, symbol, timeframe, start, stop in zip(*names, starts, stops, strict=True):
        if (exchange, symbol, timeframe) in cut:
            raise ValueError(
                f"Candles table is not sorted: the rows of {exchange} {symbol} {timeframe} are not together"
            )
        if timeframe in STEP_MS:
            cut[exchange, symbol, timeframe] = _slice_bars(columns, start, stop, timeframe, window)
    markets = sorted({(exchange, symbol) for (exchange, symbol, _), bars in cut.items() if len(bars)})
    return [MarketBars(*key, cut.get((*key, LTF), EMPTY_BARS), cut.get((*key, HTF), EMPTY_BARS)) for key in markets]


def _columns(table: pd.DataFrame) -> _BarColumns:
    time_ms = np.ascontiguousarray(table["time_ms"].to_numpy(np.int64))
    high, low, close, volume = (
        np.ascontiguousarray(table[name].to_numpy(np.float64)) for name in ("high", "low", "close", "volume")
    )
    return time_ms, high, low, close, volume


def _is_increasing(time_ms: Ints) -> Bools:
    """Return for each time but the first whether it is later than the previous."""
    return time_ms[1:] > time_ms[:-1]


def _slice_bars(columns: _BarColumns, start: int, stop: int, timeframe: str, window: Window) -> Bars:
    """Return the newest bars of rows start to stop that are closed by the window's end."""
    time_ms, *numbers = columns
    newest_opening = window.end_ms - STEP_MS[timeframe]
    stop = start + int(time_ms[start:stop].searchsorted(newest_opening, side="right"))
    start = max(start, stop - MAX_BARS)
    return Bars(time_ms[start:stop], *(number[start:stop] for number in numbers))


def _category_codes(column: pd.Series[Any]) -> tuple[npt.NDArray[np.integer[Any]], list[str]]:
    """Return the category code of each row, and the text of each code."""
    categorical = column if isinstance(column.dtype, pd.CategoricalDtype) else column.astype("category")
    return categorical.cat.codes.to_numpy(), [str(text) for text in categorical.cat.categories]
