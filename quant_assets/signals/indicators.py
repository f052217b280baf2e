"""Indicators over arrays, oldest value first.

Here: TA-Lib with the periods that signals use, and the few figures that TA-Lib has not or rounds too coarsely, each
for the last bar alone. Not here: trendlines, and what a figure means for a market.

TA-Lib's definitions hold throughout: Wilder's averages and EMAs start from a simple mean, RSI of a market that never
moved is 0, and OBV starts with the first volume.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable

import numpy as np
import talib

from quant_assets.signals.bars import MOST_BARS, Floats
from quant_assets.signals.rounding import MARGIN, below

# TA-Lib's functions without the wrapper that looks for pandas and polars at each call; here they only see arrays.
_RSI: Callable[[Floats, int], Floats] = inspect.unwrap(talib.RSI)
_ADX: Callable[[Floats, Floats, Floats, int], Floats] = inspect.unwrap(talib.ADX)
_ATR: Callable[[Floats, Floats, Floats, int], Floats] = inspect.unwrap(talib.ATR)
_EMA: Callable[[Floats, int], Floats] = inspect.unwrap(talib.EMA)
_OBV: Callable[[Floats, Floats], Floats] = inspect.unwrap(talib.OBV)

PERIOD = 14
"""Bars of RSI, ADX and ATR."""
_DECAY = (PERIOD - 1) / PERIOD
_WEIGHTS = _DECAY ** np.arange(MOST_BARS, -1.0, -1.0)
"""13/14 to the power of how many bars ago; the last is 1."""
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


def last(values: Floats) -> float | None:
    """Return the last value, or None where there is none yet."""
    if len(values) == 0:
        return None
    value = float(values[-1])
    return None if math.isnan(value) else value


def highest(values: Floats, bars: int) -> float | None:
    """Return the largest of the last `bars` values, or of as many as there are; None without any."""
    return float(np.maximum.reduce(values[-bars:])) if len(values) else None


def lowest(values: Floats, bars: int) -> float | None:
    """Return the smallest of the last `bars` values, or of as many as there are; None without any."""
    return float(np.minimum.reduce(values[-bars:])) if len(values) else None


def bollinger(close: Floats) -> tuple[float, float] | None:
    """Return the lower and the upper Bollinger band (20 bars, 2 population deviations) at the last bar.

    None with fewer than 20 bars. Closes that are all equal have a deviation of 0, whatever rounding says. Reckoned
    from the 20 closes themselves, since TA-Lib's running sums of squares lose the digits of a narrow band.
    """
    recent = close[-_BAND_BARS:]
    if len(recent) < _BAND_BARS:
        return None
    mean = float(np.add.reduce(recent)) / _BAND_BARS
    if np.maximum.reduce(recent) == np.minimum.reduce(recent):
        return mean, mean
    away = recent - mean
    reach = _BAND_WIDTH * math.sqrt(float(away @ away) / _BAND_BARS)
    return mean - reach, mean + reach


def position_in_range(values: Floats) -> float | None:
    """Return where the last value lies between the smallest (0) and the largest (1); None without a range."""
    if len(values) == 0:
        return None
    least, most = float(np.minimum.reduce(values)), float(np.maximum.reduce(values))
    return (float(values[-1]) - least) / (most - least) if most > least else None


def slope(values: Floats) -> float | None:
    """Return the least-squares slope per bar; None with fewer than two values.

    Exactly 0 where rises and falls cancel to one part in 10⁹: what the rounding of a running sum leaves has no sign.
    """
    count = len(values)
    if count < 2:
        return None
    doubled = np.arange(1.0 - count, count, 2.0)  # twice the distance from the middle: whole numbers, no rounding
    moved = values - values[0]
    rise = float(doubled @ moved)
    if abs(rise) <= MARGIN * float(np.abs(doubled) @ np.abs(moved)):
        return 0.0
    return 6.0 * rise / (count * (count * count - 1.0))


def below_mean(values: Floats) -> bool:
    """Whether the last value is below the mean of all given, itself included, by more than one part in 10⁹."""
    return len(values) > 0 and below(float(values[-1]), float(np.add.reduce(values)) / len(values))


def wilder_averages(close: Floats) -> tuple[float, float] | None:
    """Return Wilder's averages of rises and of falls over 14 bars, after the last bar; None with 14 bars or fewer.

    The recursion is written out as a weighted sum: the mean of the first 14 changes, and then each change with a
    fourteenth, all of them fading by 13/14 a bar.
    """
    change = close[1:] - close[:-1]
    later = len(change) - PERIOD
    if later < 0:
        return None
    rise = np.maximum(change, 0.0)
    fall = rise - change
    weights = _WEIGHTS[len(_WEIGHTS) - later :]
    seed = float(_WEIGHTS[-1 - later])

    def average(moves: Floats) -> float:
        return (seed * float(np.add.reduce(moves[:PERIOD])) + float(weights @ moves[PERIOD:])) / PERIOD

    return average(rise), average(fall)
