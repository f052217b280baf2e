"""Indicators over arrays, oldest value first.

All definitions are TA-Lib's: Wilder's averages and EMAs start from a simple mean, RSI of a flat market is 0, and OBV
starts with the first volume.

`rows` has one series per row, the newest value last, padded with NaN in front (see `tails`). The result of a row does
not depend on other rows, to the last bit. NaN is unknown.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence

import numpy as np
import talib

from quant_assets.signals.features.bars import MAX_BARS, Bools, Floats, Ints
from quant_assets.signals.features.tolerance import TOLERANCE, below

# TA-Lib's functions without the wrapper that checks for pandas and polars in each call: all inputs here are arrays.
_RSI: Callable[[Floats, int], Floats] = inspect.unwrap(talib.RSI)
_ADX: Callable[[Floats, Floats, Floats, int], Floats] = inspect.unwrap(talib.ADX)
_ATR: Callable[[Floats, Floats, Floats, int], Floats] = inspect.unwrap(talib.ATR)
_EMA: Callable[[Floats, int], Floats] = inspect.unwrap(talib.EMA)
_OBV: Callable[[Floats, Floats], Floats] = inspect.unwrap(talib.OBV)

PERIOD = 14
"""Bars of RSI, ADX and ATR."""
_DECAY = (PERIOD - 1) / PERIOD
_WEIGHTS = _DECAY ** np.arange(MAX_BARS, -1.0, -1.0)
"""13/14 to the power of the number of bars ago; the last is 1."""
_BAND_BARS = 20
_BAND_WIDTH = 2.0


def rsi(close: Floats) -> Floats:
    """Wilder's relative strength index over 14 bars, 0 to 100; NaN for the first 14."""
    return _RSI(close, PERIOD)


def adx(high: Floats, low: Floats, close: Floats) -> Floats:
    """Wilder's average directional index over 14 bars, 0 to 100; NaN for the first 27."""
    return _ADX(high, low, close, PERIOD)


def atr(high: Floats, low: Floats, close: Floats) -> Floats:
    """Wilder's average true range over 14 bars, in price; NaN for the first 14."""
    return _ATR(high, low, close, PERIOD)


def ema(close: Floats, bars: int) -> Floats:
    """Exponential moving average that starts from the simple mean of the first `bars`; NaN before that."""
    return _EMA(close, bars)


def obv(close: Floats, volume: Floats) -> Floats:
    """On-balance volume: volume added up with the sign of the close's change."""
    return _OBV(close, volume)


def last(series: Sequence[Floats] | Sequence[Ints]) -> Floats:
    """Return the last value of each series, NaN for an empty series."""
    return np.array([values[-1] if len(values) else np.nan for values in series], dtype=np.float64)


def tails(series: Sequence[Floats] | Sequence[Ints], bars: int) -> Floats:
    """Return the last `bars` values of each series as a row, padded with NaN in front."""
    rows = np.empty((len(series), bars))
    for row, values in zip(rows, series, strict=True):
        missing = bars - len(values)
        if missing > 0:
            row[:missing] = np.nan
            row[missing:] = values
        else:
            row[:] = values[-bars:]
    return rows


def highest(rows: Floats) -> Floats:
    """Return the largest value of each row."""
    found: Floats = np.fmax.reduce(rows, axis=1)
    return found


def lowest(rows: Floats) -> Floats:
    """Return the smallest value of each row."""
    found: Floats = np.fmin.reduce(rows, axis=1)
    return found


def counts(rows: Floats) -> Ints:
    """Count the values of each row that are not NaN."""
    found: Ints = rows.shape[1] - np.add.reduce(np.isnan(rows), axis=1)
    return found


def bollinger(close: Floats) -> tuple[Floats, Floats]:
    """Return the lower and the upper Bollinger band (20 bars, 2 population deviations) at the last bar of each row.

    Unknown with fewer than 20 bars. The deviation of equal closes is exactly 0. TA-Lib's running sums of squares lose
    the precision of a narrow band, so the bands are computed from the 20 closes themselves.
    """
    recent = close[:, -_BAND_BARS:]
    mean = np.add.reduce(recent, axis=1) / _BAND_BARS
    deviations = recent - mean[:, None]
    width = _BAND_WIDTH * np.sqrt(np.vecdot(deviations, deviations) / _BAND_BARS)
    width[highest(recent) == lowest(recent)] = 0.0
    return mean - width, mean + width


def position_in_range(rows: Floats) -> Floats:
    """Return where the last value of each row is from the smallest (0) to the largest (1); NaN if all are equal."""
    low, high = lowest(rows), highest(rows)
    return ratio(rows[:, -1] - low, high - low)


def ratio(part: Floats, whole: Floats) -> Floats:
    """Divide where `whole` is positive; NaN elsewhere."""
    found: Floats = np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0.0)
    return found


def slope(rows: Floats) -> Floats:
    """Return the least-squares slope of each row per bar; NaN with fewer than two values.

    Exactly 0 if rises and falls cancel to one part in 10⁹, so that rounding errors do not get a sign.
    """
    count = counts(rows).astype(np.float64)
    bars = rows.shape[1]
    # Twice the distance from the middle of the values that are not NaN: whole numbers, no rounding.
    doubled = np.arange(1.0 - bars, bars, 2.0) - (bars - count)[:, None]
    first = np.minimum(bars - count, bars - 1).astype(np.int64)
    moved = np.nan_to_num(rows - rows[np.arange(len(rows)), first][:, None])
    rise = np.vecdot(moved, doubled)
    flat = np.abs(rise) <= TOLERANCE * np.vecdot(np.abs(moved), np.abs(doubled))
    return ratio(np.where(flat, 0.0, 6.0 * rise), count * (count * count - 1.0))


def below_mean(rows: Floats) -> Bools:
    """Return whether the last value of each row is below the mean of the row by more than one part in 10⁹."""
    mean = ratio(np.add.reduce(np.nan_to_num(rows), axis=1), counts(rows).astype(np.float64))
    return below(rows[:, -1], mean)


def wilder_averages(series: Sequence[Floats]) -> tuple[Floats, Floats]:
    """Return Wilder's averages of rises and of falls over 14 bars, after the last bar of each series of closes.

    NaN with 14 bars or fewer. The recursion is written as a weighted sum: the mean of the first 14 changes, then a
    fourteenth of each change, all decaying by 13/14 per bar. Series of the same length are computed together.
    """
    rises, falls = np.full(len(series), np.nan), np.full(len(series), np.nan)
    bars = np.array([len(close) for close in series])
    for count in set(bars.tolist()):
        if count > PERIOD:
            (same,) = (bars == count).nonzero()
            close = np.stack([series[place] for place in same.tolist()])
            change = close[:, 1:] - close[:, :-1]
            rise = np.maximum(change, 0.0)
            rises[same], falls[same] = _wilder_average(rise), _wilder_average(rise - change)
    return rises, falls


def _wilder_average(moves: Floats) -> Floats:
    later = moves.shape[1] - PERIOD
    weights = _WEIGHTS[len(_WEIGHTS) - later :]
    seed = _WEIGHTS[-1 - later] * np.add.reduce(moves[:, :PERIOD], axis=1)
    average: Floats = (seed + np.vecdot(moves[:, PERIOD:], weights)) / PERIOD
    return average
