"""Closed bars of each market, as arrays.

Signals get their candles from here only, so that no bar that closed after the window's end is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, overload

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
    bars = _bars(table)
    if not _is_increasing(bars.time_ms).all():
        raise ValueError(f"{timeframe} bars are not sorted by time_ms, or contain a time twice")
    return newest_bars(bars, closed_bars(bars, timeframe, window.end_ms))


def market_bars(table: pd.DataFrame, window: Window) -> list[MarketBars]:
    """Split the candles table into markets with their newest bars that are closed by the window's end.

    The table is that of `market_series`. A market without a closed bar is left out.
    Raises ValueError if the table is not sorted or contains a bar twice.
    """
    markets = []
    for market in market_series(table):
        ltf = newest_bars(market.ltf, closed_bars(market.ltf, LTF, window.end_ms))
        htf = newest_bars(market.htf, closed_bars(market.htf, HTF, window.end_ms))
        if len(ltf) or len(htf):
            markets.append(MarketBars(market.exchange, market.symbol, ltf, htf))
    return markets


def market_series(table: pd.DataFrame) -> list[MarketBars]:
    """Split the candles table into markets with all their bars, sorted by exchange and symbol.

    `table` is the candles table (exchange, symbol, timeframe, time_ms, high, low, close, volume), sorted by its first
    four columns; timeframes other than 15m and 4h are ignored.
    Raises ValueError if the table is not sorted or contains a bar twice.
    """
    if table.empty:
        return []
    keys = [_category_codes(table[name]) for name in ("exchange", "symbol", "timeframe")]
    bars = _bars(table)
    is_border = np.zeros(len(table) - 1, dtype=bool)
    for codes, _ in keys:
        is_border |= codes[1:] != codes[:-1]
    if not (is_border | _is_increasing(bars.time_ms)).all():
        raise ValueError("Candles table is not sorted by time_ms within a market, or contains a time twice")

    starts = [0, *(np.flatnonzero(is_border) + 1).tolist()]
    stops = [*starts[1:], len(table)]
    names = [[texts[code] for code in codes[starts]] for codes, texts in keys]
    found: dict[tuple[str, str, str], Bars] = {}
    for exchange, symbol, timeframe, start, stop in zip(*names, starts, stops, strict=True):
        if (exchange, symbol, timeframe) in found:
            raise ValueError(
                f"Candles table is not sorted: the rows of {exchange} {symbol} {timeframe} are not together"
            )
        if timeframe in STEP_MS:
            found[exchange, symbol, timeframe] = _slice_bars(bars, start, stop)
    markets = sorted({(exchange, symbol) for exchange, symbol, _ in found})
    return [MarketBars(*key, found.get((*key, LTF), EMPTY_BARS), found.get((*key, HTF), EMPTY_BARS)) for key in markets]


@overload
def closed_bars(bars: Bars, timeframe: str, end_ms: int) -> int: ...
@overload
def closed_bars(bars: Bars, timeframe: str, end_ms: Ints) -> Ints: ...
def closed_bars(bars: Bars, timeframe: str, end_ms: Any) -> Any:
    """Count the bars that are closed by a window's end, epoch ms, or by each of several."""
    return bars.time_ms.searchsorted(end_ms - STEP_MS[timeframe], side="right")


def newest_bars(bars: Bars, stop: int) -> Bars:
    """Return the newest MAX_BARS of the first `stop` bars."""
    return _slice_bars(bars, max(0, stop - MAX_BARS), stop)


def _slice_bars(bars: Bars, start: int, stop: int) -> Bars:
    return Bars(
        bars.time_ms[start:stop],
        bars.high[start:stop],
        bars.low[start:stop],
        bars.close[start:stop],
        bars.volume[start:stop],
    )


def _bars(table: pd.DataFrame) -> Bars:
    time_ms = np.ascontiguousarray(table["time_ms"].to_numpy(np.int64))
    high, low, close, volume = (
        np.ascontiguousarray(table[name].to_numpy(np.float64)) for name in ("high", "low", "close", "volume")
    )
    return Bars(time_ms, high, low, close, volume)


def _is_increasing(time_ms: Ints) -> Bools:
    """Return for each time but the first whether it is later than the previous."""
    return time_ms[1:] > time_ms[:-1]


def _category_codes(column: pd.Series[Any]) -> tuple[npt.NDArray[np.integer[Any]], list[str]]:
    """Return the category code of each row, and the text of each code."""
    categorical = column if isinstance(column.dtype, pd.CategoricalDtype) else column.astype("category")
    return categorical.cat.codes.to_numpy(), [str(text) for text in categorical.cat.categories]
