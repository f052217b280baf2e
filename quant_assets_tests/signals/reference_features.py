"""Features of one market for the reference implementation, one function for each rule."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from . import reference_indicators as reference
from .reference_inputs import HOUR_MS, Bar, Inputs, exact, known


def clip(x: float, a: float, b: float) -> float:
    """Reads "`clip(x, a, b)` bounds x"."""
    return max(a, min(b, x))


def change_of_a_day(ltf: Sequence[Bar]) -> float | None:
    """Reads "last LTF close against the close of the LTF bar that closed 24 hours before the last one's close
    (exactly that bar, else null)", in percent."""
    last = ltf[-1]
    for bar in ltf:
        if bar.time_ms == last.time_ms - 24 * HOUR_MS:
            return (last.close - bar.close) / bar.close * 100.0
    return None


def z_of_closes(closes: Sequence[float]) -> float | None:
    """Reads "(last − mean) / population standard deviation over the last 30 of them; none with fewer than 14
    points, or a deviation of 0"."""
    last = closes[-30:]
    if len(last) < 14:
        return None
    deviation = reference.population_deviation(last)
    if deviation == 0.0:
        return None
    return (last[-1] - reference.mean(last)) / deviation


def oi_z(inputs: Inputs, window_end_ms: int) -> float | None:
    """Reads "none with … a last bar that closed more than 2 hours before W_end (or nobody knows when), or
    status neutral"."""
    if inputs.oi_status == "neutral" or inputs.oi_closed_at_ms is None:
        return None
    if window_end_ms - inputs.oi_closed_at_ms > 2 * HOUR_MS:
        return None
    return z_of_closes(inputs.oi_closes)


def oi_z_score_valid(inputs: Inputs, window_end_ms: int) -> bool:
    """Reads "`oi_z_score_valid` = `oi_z` > 1.5": exactly, as (last − mean)² > 1.5² × variance above the mean."""
    if oi_z(inputs, window_end_ms) is None:
        return False
    last = [exact(close) for close in inputs.oi_closes[-30:]]
    mean = sum(last) / len(last)
    variance = sum((close - mean) ** 2 for close in last) / len(last)
    return last[-1] > mean and (last[-1] - mean) ** 2 > Fraction(9, 4) * variance


def oi_flow(z: float | None) -> float:
    """Reads "10 where there is no `oi_z`, else clip(10 + oi_z × 10/3, 0, 20)"."""
    return 10.0 if z is None else clip(10.0 + z * 10.0 / 3.0, 0.0, 20.0)


def sentiment(bias: str, inputs: Inputs) -> float:
    """Reads "5 + d × 2.5 × clip(−funding / 0.05, −1, 1) + d × 2.5 × clip(−log2(ls), −1, 1), with d = +1 LONG,
    −1 SHORT, 0 NONE, and a missing input (or a ratio that is not positive) leaving its term out"."""
    d = {"LONG": 1.0, "SHORT": -1.0, "NONE": 0.0}[bias]
    total = 5.0
    if inputs.funding_pct is not None:
        for_8_hours = inputs.funding_pct * 8.0 / (inputs.funding_hours or 8.0)
        total += d * 2.5 * clip(-for_8_hours / 0.05, -1.0, 1.0)
    if inputs.ls_ratio is not None and inputs.ls_ratio > 0.0:
        total += d * 2.5 * clip(-math.log2(inputs.ls_ratio), -1.0, 1.0)
    return total


def bias_of(closes: Sequence[float]) -> str:
    """Reads "close > EMA50 > EMA200 LONG, < < SHORT, else NONE"."""
    fast, slow = known(reference.ema(closes, 50)[-1]), known(reference.ema(closes, 200)[-1])
    if closes[-1] > fast > slow:
        return "LONG"
    if closes[-1] < fast < slow:
        return "SHORT"
    return "NONE"


def legacy_bias(ltf: Sequence[Bar], htf: Sequence[Bar]) -> str:
    """Reads "HTF close > EMA50 > EMA200 …; on LTF closes if HTF has fewer than 200 bars; NONE if neither has
    200"."""
    for bars in (htf, ltf):
        if len(bars) >= 200:
            return bias_of([bar.close for bar in bars])
    return "NONE"


def pullback_depth(ltf: Sequence[Bar], bias: str) -> Fraction | None:
    """Reads "over the last 60 LTF bars: (highest high − P) / range for LONG, (P − lowest low) / range for
    SHORT; … none without a bias or a range"."""
    recent = ltf[-60:]
    highest, lowest = exact(max(bar.high for bar in recent)), exact(min(bar.low for bar in recent))
    price = exact(ltf[-1].close)
    if bias == "NONE" or highest == lowest:
        return None
    return (highest - price) / (highest - lowest) if bias == "LONG" else (price - lowest) / (highest - lowest)


def is_pullback(depth: Fraction | None) -> bool:
    """Reads "a pullback is 0.3 to 0.8"; "Bounds are inclusive where written as ranges"."""
    return depth is not None and Fraction(3, 10) <= depth <= Fraction(8, 10)


def position_in_range(values: Sequence[Fraction]) -> Fraction | None:
    """Return where the last value is between the smallest (0) and the largest (1)."""
    low, high = min(values), max(values)
    return None if high == low else (values[-1] - low) / (high - low)


def exact_obv(ltf: Sequence[Bar]) -> list[Fraction]:
    """On-balance volume of the LTF bars."""
    return reference.obv([bar.close for bar in ltf], [exact(bar.volume) for bar in ltf])


def obv_imbalance(ltf: Sequence[Bar]) -> tuple[str, Fraction | None]:
    """Reads "position of OBV in its range over the last 30 LTF bars minus the same of the close; > 0.25
    BULLISH, < −0.25 BEARISH, else NEUTRAL, also where either has no range"."""
    flow = position_in_range(exact_obv(ltf)[-30:])
    price = position_in_range([exact(bar.close) for bar in ltf[-30:]])
    if flow is None or price is None:
        return "NEUTRAL", None
    difference = flow - price
    if difference > Fraction(1, 4):
        return "BULLISH", difference
    return ("BEARISH" if difference < -Fraction(1, 4) else "NEUTRAL"), difference


def divergence(closes: Sequence[float], r: Sequence[float | None]) -> str:
    """Reads "over the last 60 LTF bars, pivots of order 2 on the close (all four neighbours inside those 60
    and strictly beyond): last two lows, price lower, RSI higher, earlier RSI < 50: BULLISH; last two highs,
    price higher, RSI lower, earlier RSI > 50: BEARISH; both or neither: NONE"."""
    n = len(closes)
    lows, highs = [], []
    for i in range(max(0, n - 60) + 2, n - 2):
        neighbours = [closes[i - 2], closes[i - 1], closes[i + 1], closes[i + 2]]
        if all(v > closes[i] for v in neighbours):
            lows.append(i)
        if all(v < closes[i] for v in neighbours):
            highs.append(i)
    bullish = bearish = False
    if len(lows) >= 2:
        earlier, later = lows[-2:]
        before, after = r[earlier], r[later]
        if before is not None and after is not None:
            bullish = closes[later] < closes[earlier] and after > before and before < 50.0
    if len(highs) >= 2:
        earlier, later = highs[-2:]
        before, after = r[earlier], r[later]
        if before is not None and after is not None:
            bearish = closes[later] > closes[earlier] and after < before and before > 50.0
    if bullish and not bearish:
        return "BULLISH"
    if bearish and not bullish:
        return "BEARISH"
    return "NONE"


def overextended(closes: Sequence[float], bias: str) -> bool:
    """Reads "P beyond the Bollinger band (20, 2) on the side of the bias, the bands being wider apart than
    10⁻⁹ of P": exactly, as (P − mean)² > 2² × variance on the side of the bias."""
    recent = [exact(close) for close in closes[-20:]]
    price, mean = recent[-1], sum(recent) / len(recent)
    variance = sum((close - mean) ** 2 for close in recent) / len(recent)
    if not 4**2 * variance > (Fraction(1, 10**9) * price) ** 2:
        return False
    if not (price - mean) ** 2 > 2**2 * variance:
        return False
    return (bias == "LONG" and price > mean) or (bias == "SHORT" and price < mean)


def volume_is_quiet(ltf: Sequence[Bar]) -> bool:
    """Reads "last volume below the mean of the last 20, itself included", "below the mean" by more than one
    part in 10⁹."""
    volumes = [exact(bar.volume) for bar in ltf[-20:]]
    mean = sum(volumes) / len(volumes)
    return volumes[-1] < mean * (1 - Fraction(1, 10**9))


def obv_slope(ltf: Sequence[Bar]) -> Fraction:
    """Reads "the least-squares slope of the last 14 LTF OBV values"."""
    values = exact_obv(ltf)[-14:]
    mean_x, mean_y = Fraction(sum(range(14)), 14), sum(values, Fraction(0)) / 14
    above = sum(((x - mean_x) * (y - mean_y) for x, y in enumerate(values)), Fraction(0))
    below = sum(((x - mean_x) ** 2 for x in range(14)), Fraction(0))
    return above / below


def atr_of(bars: Sequence[Bar]) -> reference.Series:
    """ATR(14) of bars."""
    return reference.atr([bar.high for bar in bars], [bar.low for bar in bars], [bar.close for bar in bars], 14)


def last_atr(bars: Sequence[Bar]) -> float:
    """ATR(14) at the last bar."""
    return known(atr_of(bars)[-1])


def adx_of(bars: Sequence[Bar]) -> float | None:
    """ADX(14) at the last bar."""
    return reference.adx([bar.high for bar in bars], [bar.low for bar in bars], [bar.close for bar in bars], 14)[-1]
