"""RSI trendlines: which lines can be drawn, the best of them, and the bar that broke one.

Here: everything that follows from the RSI alone, and the price at which RSI would meet a line. A support is worked
out as a resistance of the RSI with its sign turned, so that both sides are one piece of code and mirror each other
to the last bit. Not here: prices of the bars between (`triggers.py`), and what a breakout is worth.

A line may be asked for as of any of the last four bars, since a breakout is judged against the line that stood before
it. The work is shared: each line is drawn once, with the bar at which it was broken; as of a bar it counts if its
pivots were known by then and it was not broken yet.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from quant_assets.signals.bars import Bars, Floats, Ints
from quant_assets.signals.indicators import PERIOD, wilder_averages
from quant_assets.signals.pivots import pivots
from quant_assets.signals.rounding import MARGIN
from quant_assets.signals.sides import LONG, SHORT

ORDER = 5
"""Values on either side of a pivot."""
SPAN = 120
"""Only pivots among the last so many bars are used."""
LEAST_DISTANCE = 10
"""Bars between the two pivots of a line."""
REACH = 1.0
"""RSI points within which a pivot touches a line, and beyond which a value breaks it."""
TRIGGER_BARS = 3
"""A breakout is looked for at the last so many bars."""
FIRST_TRIGGER = 50
"""The first bar at which a breakout may be."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line through two RSI pivots; `intercept` is its value at index 0 of the HTF bars used, `slope` is per bar."""

    start: int
    end: int
    slope: float
    intercept: float
    broken_at: int
    """The first of the last three bars beyond the line by more than 1.0; the number of bars where none is."""
    touching: tuple[int, ...]
    """Pivots of the line's kind from `start` on that lie within 1.0 of it, its own two included."""

    def value(self, index: int) -> float:
        """Return the line's RSI at the bar with this index."""
        return self.intercept + self.slope * index

    def touches(self, count: int) -> int:
        """Count the touching pivots that are known when the first `count` bars are."""
        return sum(pivot + ORDER < count for pivot in self.touching)


@dataclass(frozen=True, slots=True)
class TrendLine:
    """A line as it is reported: the best as of the last bar; indices count the HTF bars used, oldest 0."""

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
    reverse_price: float | None

    @property
    def equation(self) -> str:
        """The line as a formula for people, with x the index of a bar."""
        return line_equation(self.slope, self.intercept)


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines of one RSI series that stood until three bars ago, or still stand."""

    resistances: tuple[Line, ...]
    supports: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Breakout:
    """RSI crossed a line: LONG above a resistance, SHORT below a support."""

    side: str
    index: int
    """The bar that broke the line."""
    line: Line
    """The best line over the bars before."""
    strength: float
    """How far RSI went beyond the line at that bar, RSI points."""


def draw_lines(rsi: Floats) -> Lines:
    """Draw every line that is unbroken as of one of the last four bars."""
    first = max(len(rsi) - TRIGGER_BARS - SPAN - ORDER, 0)
    highs, lows = pivots(rsi[first:], ORDER, MARGIN)
    signs = np.ones(len(highs) + len(lows))
    signs[len(highs) :] = -1.0
    found = _follow(np.concatenate((highs, lows)) + first, signs, rsi)
    return Lines(
        resistances=_lines_through(found[: len(highs)], 1.0, len(rsi)),
        supports=_lines_through(found[len(highs) :], -1.0, len(rsi)),
    )


def best_line(lines: Iterable[Line], count: int) -> Line | None:
    """Return the best of the lines when only the first `count` bars are known; None where none is valid.

    Most touches first, then the most recent second pivot, then the longer line.
    """
    valid = [
        line for line in lines if line.start >= count - SPAN and line.end + ORDER < count and line.broken_at >= count
    ]
    return max(valid, key=lambda line: (line.touches(count), line.end, line.end - line.start), default=None)


def find_breakout(rsi: Floats, lines: Lines) -> Breakout | None:
    """Find the newest bar of the last three that broke the line before it, where RSI still stands beyond it."""
    now = len(rsi) - 1
    for index in range(now, max(now - TRIGGER_BARS, FIRST_TRIGGER - 1), -1):
        found = []
        for side, sign, kind in ((LONG, 1.0, lines.resistances), (SHORT, -1.0, lines.supports)):
            line = best_line(kind, index) if kind else None
            if line is None:
                continue
            strength = sign * (float(rsi[index]) - line.value(index))
            if strength > REACH + MARGIN and sign * (float(rsi[now]) - line.value(now)) > MARGIN:
                found.append(Breakout(side, index, line, strength))
        if found:
            return max(found, key=lambda breakout: breakout.strength)
    return None


def describe_line(line: Line, bars: Bars, rsi: Floats) -> TrendLine:
    """Put to a line what a reader of it needs: the moments of its pivots, where it stands, and the price at it."""
    count = len(bars)
    return TrendLine(
        start_index=line.start,
        start_rsi=float(rsi[line.start]),
        start_ms=int(bars.time_ms[line.start]),
        end_index=line.end,
        end_rsi=float(rsi[line.end]),
        end_ms=int(bars.time_ms[line.end]),
        slope=line.slope,
        intercept=line.intercept,
        touches=line.touches(count),
        at_last_bar=line.value(count - 1),
        reverse_price=reverse_rsi_price(bars.close, line.value(count)),
    )


def line_equation(slope: float, intercept: float) -> str:
    """Write a line as a formula for people, with x the index of a bar, like `RSI = -0.25·x + 61.5`."""
    return f"RSI = {slope:.6g}·x {'-' if intercept < 0 else '+'} {abs(intercept):.6g}"


def reverse_rsi_price(close: Floats, target: float) -> float | None:
    """Return the close of the next bar at which RSI(14) would be `target`; None where no such price exists.

    With AvgU, AvgD Wilder's averages and RS = target / (100 − target): x = 13 × (RS × AvgD − AvgU), and the price is
    close + x for a rise, close + x / RS for a fall.
    """
    averages = wilder_averages(close)
    if averages is None or not 0.0 < target < 100.0:
        return None
    rises, falls = averages
    strength = target / (100.0 - target)
    move = (PERIOD - 1) * (strength * falls - rises)
    price = float(close[-1]) + (move if move >= 0.0 else move / strength)
    return price if price > 0.0 else None


class _Pivot(NamedTuple):
    """A pivot; its height and the slopes are those of RSI times its side's sign, so that a low is a high too."""

    bar: int
    height: float
    least_slope: float
    """A line from here that falls faster was broken before the last three bars."""
    least_slopes: list[float]
    """A line from here that falls faster is broken at that one of the last three bars."""


def _follow(points: Ints, signs: Floats, rsi: Floats) -> list[_Pivot]:
    """Tell for each pivot which of the lines from it have held, with one look along the bars for all of them.

    A later value breaks every line that falls faster than the way from the pivot to the point 1.0 below that value.
    """
    if len(points) == 0:
        return []
    first = int(points.min())
    heights = signs * rsi[points]
    bars_later = np.arange(float(first), float(len(rsi))) - points[:, None]
    climb = signs[:, None] * rsi[first:] - (heights + (REACH + MARGIN))[:, None]
    slopes = np.where(bars_later > 0.0, climb / np.maximum(bars_later, 1.0), -np.inf)
    early = np.maximum.reduce(slopes[:, :-TRIGGER_BARS], axis=1)
    late = slopes[:, -TRIGGER_BARS:]
    return list(map(_Pivot, points.tolist(), heights.tolist(), early.tolist(), late.tolist()))


def _lines_through(points: list[_Pivot], sign: float, count: int) -> tuple[Line, ...]:
    """Draw the falling lines through two of the pivots that held until three bars ago."""
    lines = []
    for one, start in enumerate(points):
        if start.least_slope >= 0.0:
            continue
        for end in points[one + 1 :]:
            length = end.bar - start.bar
            slope = (end.height - start.height) / length
            if length < LEAST_DISTANCE or start.height - end.height <= MARGIN or slope < start.least_slope:
                continue
            intercept = start.height - slope * start.bar
            late = (count - TRIGGER_BARS + nth for nth, least in enumerate(start.least_slopes) if slope < least)
            touching = tuple(
                point.bar
                for point in points[one:]
                if abs(point.height - intercept - slope * point.bar) <= REACH + MARGIN
            )
            lines.append(Line(start.bar, end.bar, sign * slope, sign * intercept, next(late, count), touching))
    return tuple(lines)
