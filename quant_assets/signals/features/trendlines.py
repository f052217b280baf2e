"""RSI trendlines: valid lines, the best line of each market, and breakouts.

The RSI of n markets makes 2n *sides*: rows of RSI for the resistances, followed by the same rows negated, whose
resistances are the supports. So one piece of code handles both, and they mirror each other to the last bit.

A breakout is measured against the best line before it, so the best line is needed as of each of the last four bars.
Each line is computed once, with the number of bars since it was broken; it is valid as of a bar if its pivots were
known and it was not yet broken.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quant_assets.signals.features.bars import Floats, Ints
from quant_assets.signals.features.indicators import PERIOD
from quant_assets.signals.features.pivots import pivot_highs
from quant_assets.signals.features.tolerance import TOLERANCE

PIVOT_ORDER = 5
"""Values on either side that a pivot must exceed."""
PIVOT_BARS = 120
"""Newest bars whose pivots are used."""
MIN_PIVOT_DISTANCE = 10
"""Minimum number of bars between the two pivots of a line."""
LINE_TOLERANCE = 1.0
"""RSI points up to which a pivot touches a line, and above which a value breaks it."""
TRIGGER_BARS = 3
"""Newest bars at which a breakout is detected."""
MIN_TRIGGER_INDEX = 50
"""Index of the first bar at which a breakout is detected."""
LOOKBACK_BARS = PIVOT_BARS + PIVOT_ORDER + TRIGGER_BARS
"""Newest values of RSI that lines are computed from."""
NO_LINE = -1


@dataclass(frozen=True, slots=True)
class TrendLine:
    """The best line of a market as of the last bar; indices count the HTF bars used, oldest 0."""

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


@dataclass(frozen=True, slots=True)
class Lines:
    """All lines that are unbroken as of one of the last four bars: arrays with one element per line.

    Heights and slopes are those of the side, which is negated for supports.
    """

    side: Ints
    """Row of the side: m for resistances of market m, m + the number of markets for its supports."""
    bars: Ints
    """Number of bars of the market."""
    start: Ints
    end: Ints
    """Its two pivots `start` and `end`, as indices into the HTF bars used."""
    slope: Floats
    """Per bar."""
    intercept: Floats
    """At index 0."""
    broken_ago: Ints
    """Bars since it was broken by more than LINE_TOLERANCE: 1 for the last bar, 0 for an unbroken line."""
    touches: Ints
    """Shape (4, lines): pivots from `start` on that touch it, known without the last 0, 1, 2, 3 bars."""

    def at(self, places: Ints, index: Ints) -> Floats:
        """Return the heights of the lines at `places`, each at its bar of `index`."""
        return self.intercept[places] + self.slope[places] * index

    def best(self, ago: int, sides: int) -> Ints:
        """Return the place of each side's best line without the last `ago` bars, NO_LINE if no line is valid.

        The best line has the most touches, then the most recent second pivot, then the greatest length.
        """
        count = self.bars - ago
        valid = (self.start >= count - PIVOT_BARS) & (self.end + PIVOT_ORDER < count) & (self.broken_ago <= ago)
        (places,) = valid.nonzero()
        start, end = self.start[places], self.end[places]
        places = places[np.lexsort((end - start, end, self.touches[ago, places]))]
        found = np.full(sides, NO_LINE)
        found[self.side[places]] = places  # the best is last and overwrites the others
        return found


@dataclass(frozen=True, slots=True)
class Breakouts:
    """The newest breakout of each market within the last three bars: arrays with one element per market."""

    line: Ints
    """Place of the broken line, the best line before the breakout; NO_LINE without a breakout."""
    ago: Ints
    """Bars since the breakout: 1 for the last bar."""
    strength: Floats
    """Distance of RSI beyond the line at that bar, RSI points."""


def draw_lines(rsi: Floats, bars: Ints) -> Lines:
    """Return the falling lines through two highs of each side that were unbroken three bars ago.

    `rsi` has one row per market with its last LOOKBACK_BARS values, padded with NaN in front; `bars` is the total
    number of bars of each market.
    """
    sides, bars = np.concatenate((rsi, -rsi)), np.tile(bars, 2)
    row, column = pivot_highs(sides, PIVOT_ORDER, TOLERANCE).nonzero()
    height = sides[row, column]
    bar = column + (bars - LOOKBACK_BARS)[row]

    starts = _starting_pivots(sides, row, column, height)
    min_slope, min_slopes_late = _min_slopes(sides[row[starts]], column[starts], height[starts])
    number, end = _pair_with_later_pivots(starts, row)
    start = starts[number]
    length = column[end] - column[start]
    slope = (height[end] - height[start]) / length
    is_line = (length >= MIN_PIVOT_DISTANCE) & (height[start] - height[end] > TOLERANCE) & (slope >= min_slope[number])
    number, start, end, slope = number[is_line], start[is_line], end[is_line], slope[is_line]
    intercept = height[start] - slope * bar[start]
    is_broken = slope[:, None] < min_slopes_late[number]

    line, point = _pair_with_later_pivots(start, row)
    touches = np.abs(height[point] - intercept[line] - slope[line] * bar[point]) <= LINE_TOLERANCE + TOLERANCE
    known_ago = LOOKBACK_BARS - column[point] - PIVOT_ORDER
    counted = [np.bincount(line[touches & (known_ago > ago)], minlength=len(start)) for ago in range(TRIGGER_BARS + 1)]
    return Lines(
        side=row[start],
        bars=bars[row[start]],
        start=bar[start],
        end=bar[end],
        slope=slope,
        intercept=intercept,
        broken_ago=np.where(is_broken.any(axis=1), TRIGGER_BARS - is_broken.argmax(axis=1), 0),
        touches=np.array(counted) + 1,
    )


def find_breakouts(rsi: Floats, bars: Ints, lines: Lines) -> Breakouts:
    """Return where RSI broke a line and is still beyond it; arguments as for `draw_lines`.

    The newest break of both sides is used, or the stronger of two at the same bar.
    """
    markets = len(bars)
    sides, bars = np.concatenate((rsi, -rsi)), np.tile(bars, 2)
    found = Breakouts(np.full(markets, NO_LINE), np.zeros(markets, np.int64), np.full(markets, np.nan))
    for ago in range(TRIGGER_BARS, 0, -1):
        best = lines.best(ago, len(sides))
        (side,) = ((best != NO_LINE) & (bars - ago >= MIN_TRIGGER_INDEX)).nonzero()
        line = best[side]
        strength = sides[side, -ago] - lines.at(line, bars[side] - ago)
        still = sides[side, -1] - lines.at(line, bars[side] - 1)
        (broken,) = ((strength > LINE_TOLERANCE + TOLERANCE) & (still > TOLERANCE)).nonzero()
        broken = broken[np.lexsort((-side[broken], strength[broken]))]  # the stronger is last and overwrites the other
        market = side[broken] % markets
        found.line[market], found.ago[market], found.strength[market] = line[broken], ago, strength[broken]
    return found


def line_equation(slope: float, intercept: float) -> str:
    """Return a line as a readable formula, with x the index of a bar, like `RSI = -0.25·x + 61.5`."""
    return f"RSI = {slope:.6g}·x {'-' if intercept < 0 else '+'} {abs(intercept):.6g}"


def reverse_rsi_price(close: Floats, rises: Floats, falls: Floats, target: Floats) -> Floats:
    """Return the close of the next bar at which RSI(14) would be `target`, NaN if there is no such price.

    `rises` and `falls` are Wilder's averages AvgU and AvgD after the last bar, which closed at `close`. With
    RS = target / (100 − target): x = 13 × (RS × AvgD − AvgU), and the price is close + x for a rise, close + x / RS
    for a fall.
    """
    target = np.where((target > 0.0) & (target < 100.0), target, np.nan)
    strength = target / (100.0 - target)
    move = (PERIOD - 1) * (strength * falls - rises)
    price = close + np.where(move >= 0.0, move, move / strength)
    return np.where(price > 0.0, price, np.nan)


def _starting_pivots(sides: Floats, row: Ints, column: Ints, height: Floats) -> Ints:
    """Return the pivots that no value exceeded by more than LINE_TOLERANCE until three bars ago: lines start there."""
    newest_first = sides[:, -TRIGGER_BARS - 1 :: -1]
    highest_later = np.maximum.accumulate(newest_first, axis=1)[:, ::-1][row, column + 1]
    (places,) = (highest_later - (height + (LINE_TOLERANCE + TOLERANCE)) < 0.0).nonzero()
    return places


def _min_slopes(sides: Floats, column: Ints, height: Floats) -> tuple[Floats, Floats]:
    """Return the minimum slope of an unbroken line from each pivot as of three bars ago, and at each bar since.

    A value breaks every line that is steeper than the line from the pivot to the point LINE_TOLERANCE below the value.
    `sides` has the side of the pivot in each row.
    """
    bars_later = np.arange(float(LOOKBACK_BARS)) - column[:, None]
    climb = sides - (height + (LINE_TOLERANCE + TOLERANCE))[:, None]
    slopes = np.where(bars_later > 0.0, climb / np.maximum(bars_later, 1.0), -np.inf)
    return np.maximum.reduce(slopes[:, :-TRIGGER_BARS], axis=1), slopes[:, -TRIGGER_BARS:]


def _pair_with_later_pivots(pivots: Ints, row: Ints) -> tuple[Ints, Ints]:
    """Pair each pivot with every later pivot of its side; return its number and the place of the later pivot."""
    count = np.searchsorted(row, row[pivots], side="right") - pivots - 1
    number = np.repeat(np.arange(len(pivots)), count)
    offset = np.arange(len(number)) - np.repeat(np.cumsum(count) - count, count)
    return number, pivots[number] + 1 + offset
