"""What the LTF columns of many windows are computed from, in one causal pass over a market's 15m bars.

An indicator of a window starts at the window's oldest bar. As long as a window uses all bars since the beginning of the
series, the indicators of the whole series are the same to the last bit. After that the window starts MAX_BARS before
its end, and the start shows in three ways:

* EMA200 still has 2e-6 of the difference between both starts, which is added.
* RSI, ATR and ADX have forgotten the start, unless bars without a move kept the memory. Windows with such stretches
  are computed one by one.
* OBV differs by a constant, which no column sees. Where the rounding of a large constant could show, the window is
  computed one by one.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from quant_assets.signals.features import indicators
from quant_assets.signals.features.bars import MAX_BARS, Bars, Bools, Floats, Ints, newest_bars
from quant_assets.signals.features.candle_features import (
    DAY_BARS,
    DIVERGENCE_BARS,
    EXTREME_BARS,
    OBV_RANGE_BARS,
    OBV_SLOPE_BARS,
    VOLUME_BARS,
    LastValues,
    LtfRows,
    is_divergence_certain,
    ltf_rows,
)

EMA_BARS = 200
MEMORY_BARS = 800
"""Newest bars of a window in which RSI, ATR and ADX forget where the window started, if they move."""
MAX_STILL_BARS = 100
"""Bars in succession without a move that do not matter: the averages keep 6e-4 of their size."""
MIN_MOVE = 1e-12
"""Price changes up to this count as none: TA-Lib takes averages below 1e-14 as zero."""
MAX_OBV_RATIO = 1e5
"""Largest OBV so far over its range of OBV_SLOPE_BARS, up to which rounding errors do not show."""
MAX_RSI_ERROR = 1e-9
"""RSI points; errors are below 1e-11."""


class LtfSeries:
    """The 15m bars of one market, and the indicators at each of them, computed over the whole series."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._rsi = indicators.rsi(bars.close)
        obv = indicators.obv(bars.close, bars.volume)
        self._max_obv: Floats = np.maximum.accumulate(np.abs(obv))
        padded: dict[str, tuple[Floats, int]] = {
            "time_ms": (bars.time_ms.astype(np.float64), DAY_BARS + 1),
            "close": (bars.close, DAY_BARS + 1),
            "high": (bars.high, EXTREME_BARS),
            "low": (bars.low, EXTREME_BARS),
            "volume": (bars.volume, VOLUME_BARS),
            "obv": (obv, OBV_RANGE_BARS),
            "rsi": (self._rsi, DIVERGENCE_BARS),
        }
        self._rows = {name: _tails_at_each_bar(values, count) for name, (values, count) in padded.items()}
        self._last = {
            "time_ms": padded["time_ms"][0],
            "close": bars.close,
            "rsi": self._rsi,
            "atr": indicators.atr(bars.high, bars.low, bars.close),
            "adx": indicators.adx(bars.high, bars.low, bars.close),
            "ema50": indicators.ema(bars.close, 50),
            "ema200": indicators.ema(bars.close, EMA_BARS),
        }
        self._turnover = _turnover_at_each_bar(bars)
        self._has_memory = _has_memory_at_each_bar(bars)

    def rows(self, stops: Ints) -> LtfRows:
        """Return the rows of the windows that use the newest bars of the first `stops`, one for each; 0 for none."""
        has_bars = stops > 0
        places = np.maximum(stops, 1) - 1 if len(self._bars) else stops

        def at(values: Floats) -> Floats:
            if not len(values):
                return np.full(len(stops), np.nan)
            return np.where(has_bars, values[places], np.nan)

        rows = LtfRows(
            last=LastValues(
                bars=np.minimum(stops, MAX_BARS), **{name: at(values) for name, values in self._last.items()}
            ),
            turnover=at(self._turnover),
            **{name: tails[stops] for name, tails in self._rows.items()},
        )
        return self._without_older_bars(rows, stops) if (stops > MAX_BARS).any() else rows

    def _without_older_bars(self, rows: LtfRows, stops: Ints) -> LtfRows:
        """Return the rows as if the bars before each window's oldest did not exist."""
        (longer,) = (stops > MAX_BARS).nonzero()
        ema200 = rows.last.ema200.copy()
        ema200[longer] += self._ema200_correction(stops[longer])
        rows = replace(rows, last=replace(rows.last, ema200=ema200))
        recent = rows.obv[:, -OBV_SLOPE_BARS:]
        is_obv_exact = self._max_obv[stops - 1] <= MAX_OBV_RATIO * (recent.max(axis=1) - recent.min(axis=1))
        is_certain = is_divergence_certain(rows.close[:, -DIVERGENCE_BARS:], rows.rsi, MAX_RSI_ERROR)
        exact = is_obv_exact & is_certain & ~self._has_memory[stops - 1]
        (single,) = ((stops > MAX_BARS) & ~exact).nonzero()
        if not len(single):
            return rows
        one_by_one = ltf_rows([newest_bars(self._bars, stop) for stop in stops[single].tolist()])
        return _with_rows(rows, single, one_by_one)

    def _ema200_correction(self, stops: Ints) -> Floats:
        """Return the EMA200 of windows that start MAX_BARS before `stops`, minus that of the whole series.

        An EMA that starts at another place from another value differs by that of the values there, decaying.
        """
        seeded = stops - MAX_BARS + EMA_BARS
        sums = np.concatenate(([0.0], np.cumsum(self._bars.close)))
        mean = (sums[seeded] - sums[seeded - EMA_BARS]) / EMA_BARS
        decay = (1.0 - 2.0 / (EMA_BARS + 1)) ** (MAX_BARS - EMA_BARS)
        found: Floats = decay * (mean - self._last["ema200"][seeded - 1])
        return found


def concat_rows(parts: list[LtfRows]) -> LtfRows:
    """Return the rows of several series, one below the other."""
    found: LtfRows = _combine(parts, np.concatenate)
    return found


def _with_rows(rows: LtfRows, places: Ints, others: LtfRows) -> LtfRows:
    """Return the rows with those at `places` replaced."""

    def replaced(pair: list[Any]) -> Any:
        values = pair[0].copy()
        values[places] = pair[1]
        return values

    found: LtfRows = _combine([rows, others], replaced)
    return found


def _combine(parts: list[Any], combine: Any) -> Any:
    """Return an object of the same class, each of its arrays combined from those of the parts."""
    found = {}
    for field in fields(parts[0]):
        values = [getattr(part, field.name) for part in parts]
        found[field.name] = _combine(values, combine) if isinstance(values[0], LastValues) else combine(values)
    return type(parts[0])(**found)


def _tails_at_each_bar(values: Floats, bars: int) -> Floats:
    """Return a view with the last `bars` values before each place as a row, padded with NaN in front.

    Row n has the values up to the n-th, without it.
    """
    found: Floats = sliding_window_view(np.concatenate((np.full(bars, np.nan), values)), bars)
    return found


def _turnover_at_each_bar(bars: Bars) -> Floats:
    """Return the sum of close × volume over the last DAY_BARS at each bar, or as many as there are."""
    count = len(bars)
    found = np.empty(count)
    for place in range(min(DAY_BARS - 1, count)):
        found[place] = bars.close[: place + 1] @ bars.volume[: place + 1]
    if count >= DAY_BARS:
        close, volume = (sliding_window_view(values, DAY_BARS) for values in (bars.close, bars.volume))
        found[DAY_BARS - 1 :] = np.vecdot(close, volume)
    return found


def _has_memory_at_each_bar(bars: Bars) -> Bools:
    """Return whether RSI, ATR or ADX may remember the bars before a window that ends with each bar."""
    up, down = np.diff(bars.high), -np.diff(bars.low)
    before = bars.close[:-1]
    true_range = np.maximum(bars.high[1:], before) - np.minimum(bars.low[1:], before)
    has_direction = (np.maximum(up, down) > MIN_MOVE) & (np.abs(up - down) > 0.0)
    moves = (np.abs(np.diff(bars.close)) > MIN_MOVE, has_direction, true_range > MIN_MOVE)
    bar = np.arange(len(bars))
    is_still = np.zeros(len(bars), dtype=bool)
    for moved in moves:
        last_move = np.maximum.accumulate(np.where(np.concatenate(([True], moved)), bar, 0))
        is_still |= bar - last_move >= MAX_STILL_BARS
    counted = np.concatenate(([0], np.cumsum(is_still)))
    has_memory: Bools = counted[1:] > counted[np.maximum(bar + 1 - MEMORY_BARS, 0)]
    return has_memory
