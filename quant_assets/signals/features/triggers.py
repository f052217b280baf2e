"""A breakout with the prices around it, from which setups are computed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quant_assets.signals.features.bars import Bars, Floats
from quant_assets.signals.features.trendlines import Lines
from quant_assets.signals.sides import SIGN

BARS_BEFORE = 5
"""Bars before the breakout whose extremes determine the stop."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """A breakout of an RSI trendline on HTF bars; indices count the HTF bars used, oldest 0."""

    side: str
    index: int
    time_ms: int
    strength: float
    start_index: int
    start_rsi: float
    start_ms: int
    end_index: int
    end_rsi: float
    end_ms: int
    slope: float
    intercept: float
    touches: int
    at_last_bar: float
    close: float
    atr: float
    start_close: float
    end_close: float
    before_high: float
    before_low: float
    line_high: float
    line_low: float
    leg_high: float
    leg_low: float
    after_high: float | None
    after_low: float | None


def describe_trigger(
    lines: Lines, line: int, side: str, ago: int, strength: float, bars: Bars, rsi: Floats, atr: Floats
) -> Trigger:
    """Return a breakout with the prices before it, along its line, on the leg after the line, and since.

    The line at place `line` was broken `ago` bars before the end of `bars`; `rsi` and `atr` are those of the bars.
    """
    start, end, index = int(lines.start[line]), int(lines.end[line]), len(bars) - ago
    sign = SIGN[side]
    slope, intercept = sign * float(lines.slope[line]), sign * float(lines.intercept[line])
    before = slice(index - BARS_BEFORE, index)
    along = slice(start, end + 1)
    leg = slice(end, index + 1)
    after = slice(index + 1, len(bars))
    has_after = index + 1 < len(bars)
    return Trigger(
        side=side,
        index=index,
        time_ms=int(bars.time_ms[index]),
        strength=strength,
        start_index=start,
        start_rsi=float(rsi[start]),
        start_ms=int(bars.time_ms[start]),
        end_index=end,
        end_rsi=float(rsi[end]),
        end_ms=int(bars.time_ms[end]),
        slope=slope,
        intercept=intercept,
        touches=int(lines.touches[ago, line]),
        at_last_bar=intercept + slope * (len(bars) - 1),
        close=float(bars.close[index]),
        atr=float(atr[index]),
        start_close=float(bars.close[start]),
        end_close=float(bars.close[end]),
        before_high=_max(bars.high[before]),
        before_low=_min(bars.low[before]),
        line_high=_max(bars.high[along]),
        line_low=_min(bars.low[along]),
        leg_high=_max(bars.high[leg]),
        leg_low=_min(bars.low[leg]),
        after_high=_max(bars.high[after]) if has_after else None,
        after_low=_min(bars.low[after]) if has_after else None,
    )


def _max(values: Floats) -> float:
    return float(np.maximum.reduce(values))


def _min(values: Floats) -> float:
    return float(np.minimum.reduce(values))
