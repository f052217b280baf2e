"""Indicators by TA-Lib's definitions, in loops over lists, for the reference implementation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

Series = list[float | None]


def mean(values: Sequence[float]) -> float:
    """The simple mean; that of equal values is their value, whatever rounding says."""
    return values[0] if max(values) == min(values) else math.fsum(values) / len(values)


def wilder_averages(closes: Sequence[float], period: int) -> tuple[Series, Series]:
    """Average rise and average fall: a simple mean of the first `period`, then Wilder's smoothing.

    "Wilder smoothing seeded with a simple mean".
    """
    ups: Series = [None] * len(closes)
    downs: Series = [None] * len(closes)
    if len(closes) <= period:
        return ups, downs
    rises = [max(closes[i] - closes[i - 1], 0.0) for i in range(1, len(closes))]
    falls = [max(closes[i - 1] - closes[i], 0.0) for i in range(1, len(closes))]
    up = sum(rises[:period]) / period
    down = sum(falls[:period]) / period
    ups[period], downs[period] = up, down
    for i in range(period, len(rises)):
        up = (up * (period - 1) + rises[i]) / period
        down = (down * (period - 1) + falls[i]) / period
        ups[i + 1], downs[i + 1] = up, down
    return ups, downs


def rsi(closes: Sequence[float], period: int) -> Series:
    """100 × up / (up + down); TA-Lib says 0 where nothing has moved at all."""
    values: Series = []
    for up, down in zip(*wilder_averages(closes, period), strict=True):
        if up is None or down is None:
            values.append(None)
        else:
            values.append(100.0 * up / (up + down) if up + down > 0.0 else 0.0)
    return values


def ema(closes: Sequence[float], period: int) -> Series:
    """Reads "EMA seeded with a simple mean", then k = 2 / (period + 1)."""
    values: Series = [None] * len(closes)
    if len(closes) < period:
        return values
    last = mean(closes[:period])
    values[period - 1] = last
    for i in range(period, len(closes)):
        last = last + (closes[i] - last) * 2.0 / (period + 1)
        values[i] = last
    return values


def true_range(high: float, low: float, close_before: float) -> float:
    """Return the greatest of high − low and the distances of both from the close before."""
    return max(high - low, abs(high - close_before), abs(low - close_before))


def atr(highs: Sequence[float], lows: Sequence[float], closes: Sequence[float], period: int) -> Series:
    """Wilder's smoothing of the true range, seeded with the mean of the first `period` of them."""
    values: Series = [None] * len(closes)
    if len(closes) <= period:
        return values
    ranges = [true_range(highs[i], lows[i], closes[i - 1]) for i in range(1, len(closes))]
    last = sum(ranges[:period]) / period
    values[period] = last
    for i in range(period, len(ranges)):
        last = (last * (period - 1) + ranges[i]) / period
        values[i + 1] = last
    return values


def adx(highs: Sequence[float], lows: Sequence[float], closes: Sequence[float], period: int) -> Series:
    """Wilder's average directional index as TA-Lib has it.

    The sums of +DM, −DM and the true range begin with period − 1 bars, each later bar takes 1/period away and adds
    its own; ADX begins with the mean of `period` DX values. Where DX does not exist the ADX stays as it was (or
    nothing is added to its first mean).
    """
    values: Series = [None] * len(closes)
    if len(closes) < 2 * period:
        return values
    plus = minus = total = 0.0
    first_dx = 0.0
    last = 0.0
    for i in range(1, len(closes)):
        rise, fall = highs[i] - highs[i - 1], lows[i - 1] - lows[i]
        plus_dm = rise if rise > fall and rise > 0.0 else 0.0
        minus_dm = fall if fall > rise and fall > 0.0 else 0.0
        moved = true_range(highs[i], lows[i], closes[i - 1])
        if i < period:
            plus, minus, total = plus + plus_dm, minus + minus_dm, total + moved
            continue
        plus = plus - plus / period + plus_dm
        minus = minus - minus / period + minus_dm
        total = total - total / period + moved
        dx = None
        if total > 0.0 and plus + minus > 0.0:
            plus_di, minus_di = 100.0 * plus / total, 100.0 * minus / total
            dx = 100.0 * abs(plus_di - minus_di) / (plus_di + minus_di)
        if i < 2 * period:
            first_dx += dx or 0.0
            if i == 2 * period - 1:
                last = first_dx / period
                values[i] = last
        else:
            last = last if dx is None else (last * (period - 1) + dx) / period
            values[i] = last
    return values


def population_deviation(values: Sequence[float]) -> float:
    """Reads "a standard deviation counts as 0 where the largest value equals the smallest"; population, not
    sample."""
    if max(values) == min(values):
        return 0.0
    middle = mean(values)
    return math.sqrt(math.fsum((v - middle) ** 2 for v in values) / len(values))


def bollinger(closes: Sequence[float], period: int, width: float) -> tuple[float, float]:
    """Lower and upper band at the last close ("population standard deviation in the Bollinger bands")."""
    recent = closes[-period:]
    deviation = population_deviation(recent)
    return mean(recent) - width * deviation, mean(recent) + width * deviation


def obv(closes: Sequence[float], volumes: Sequence[Fraction]) -> list[Fraction]:
    """On-balance volume: begins with the first volume; a higher close adds the bar's volume, a lower one takes it."""
    values = [volumes[0]]
    for i in range(1, len(closes)):
        step = Fraction(0)
        if closes[i] > closes[i - 1]:
            step = volumes[i]
        elif closes[i] < closes[i - 1]:
            step = -volumes[i]
        values.append(values[-1] + step)
    return values
