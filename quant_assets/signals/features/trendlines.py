"""RSI trendlines: which lines can be drawn, the best of them, and the bar that broke one.

The RSI of n markets makes 2n *sides*: rows of the RSI for their resistances, and below them the same rows with the
sign turned, whose resistances are the supports. So both are one piece of code and mirror each other to the last bit.

A line may be asked for as of any of the last four bars, since a breakout is judged against the line that stood before
it. The work is shared: each line is drawn once, with how long ago it was broken; as of a bar it counts if its pivots
were known by then and it was not broken yet.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quant_assets.signals.features.bars import Floats, Ints
from quant_assets.signals.features.indicators import PERIOD
from quant_assets.signals.features.pivots import highs
from quant_assets.signals.features.tolerance import MARGIN

ORDER = 5
"""Values on either side of a pivot."""
SPAN = 120
"""Only pivots among the last so many bars are used."""
MIN_DISTANCE = 10
"""Bars between the two pivots of a line."""
REACH = 1.0
"""RSI points within which a pivot touches a line, and beyond which a value breaks it."""
TRIGGER_BARS = 3
"""A breakout is looked for at the last so many bars."""
FIRST_TRIGGER = 50
"""The first bar at which a breakout may be."""
LOOK_BACK = SPAN + ORDER + TRIGGER_BARS
"""Bars of RSI that lines are drawn on."""
NO_LINE = -1


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
    """Every line of every side that is unbroken as of one of the last four bars: arrays with an element a line.

    Heights and slopes are those of the side, whose sign is turned where it is of supports.
    """

    side: Ints
    """Row of the side; the supports of market m have the row m + the number of markets."""
    bars: Ints
    """Bars of the market, the last at index bars − 1."""
    start: Ints
    end: Ints
    """Its two pivots, as indices into the HTF bars used."""
    slope: Floats
    """Per bar."""
    intercept: Floats
    """At index 0."""
    broken_ago: Ints
    """Bars from the one that broke it by more than 1.0 to the end: 1 is the last, 0 says that none has."""
    touches: Ints
    """Of shape (4, lines): pivots from `start` on within 1.0 of it, known with the last 0, 1, 2, 3 bars left out."""

    def at(self, places: Ints, index: Ints) -> Floats:
        """Return the heights of the lines at these places, each at the bar with its index."""
        return self.intercept[places] + self.slope[places] * index

    def best(self, ago: int, sides: int) -> Ints:
        """Return the best line of each of the sides with the last `ago` bars left out, as its place among the lines.

        Most touches first, then the most recent second pivot, then the longer line. NO_LINE where none is valid.
        """
        count = self.bars - ago
        valid = (self.start >= count - SPAN) & (self.end + ORDER < count) & (self.broken_ago <= ago)
        (places,) = valid.nonzero()
        start, end = self.start[places], self.end[places]
        places = places[np.lexsort((end - start, end, self.touches[ago, places]))]  # the best comes last, and stays
        found = np.full(sides, NO_LINE)
        found[self.side[places]] = places
        return found


@dataclass(frozen=True, slots=True)
class Breakouts:
    """The newest bar of the last three at which RSI crossed the line before it: arrays with an element a market."""

    line: Ints
    """The best line over the bars before, as its place among the lines; NO_LINE where there was no breakout."""
    ago: Ints
    """Bars from the one that broke the line to the end; 1 is the last."""
    strength: Floats
    """How far RSI went beyond the line at that bar, RSI points."""


def draw_lines(rsi: Floats, bars: Ints) -> Lines:
    """Draw the falling lines through two highs of each side that had held until three bars ago.

    `rsi` has a market in each row, with its last LOOK_BACK values (NaN in front where there are fewer), `bars` is the
    number of bars that each market has in all.
    """
    sides, bars = np.concatenate((rsi, -rsi)), np.tile(bars, 2)
    row, column = highs(sides, ORDER, MARGIN).nonzero()
    height = sides[row, column]
    bar = column + (bars - LOOK_BACK)[row]

    starts = _unpassed(sides, row, column, height)
    least_slope, least_slopes_late = _least_slopes(sides[row[starts]], column[starts], height[starts])
    number, end = _later_pivots(starts, row)
    start = starts[number]
    length = column[end] - column[start]
    slope = (height[end] - height[start]) / length
    is_line = (length >= MIN_DISTANCE) & (height[start] - height[end] > MARGIN) & (slope >= least_slope[number])
    number, start, end, slope = number[is_line], start[is_line], end[is_line], slope[is_line]
    intercept = height[start] - slope * bar[start]
    is_broken = slope[:, None] < least_slopes_late[number]

    line, point = _later_pivots(start, row)
    touches = np.abs(height[point] - intercept[line] - slope[line] * bar[point]) <= REACH + MARGIN
    known_ago = LOOK_BACK - column[point] - ORDER
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
    """Find where RSI broke the line before it and still stands beyond it; arguments as those of `draw_lines`.

    The newest bar of both sides is taken, and of two breaks at one bar the stronger.
    """
    markets = len(bars)
    sides, bars = np.concatenate((rsi, -rsi)), np.tile(bars, 2)
    found = Breakouts(np.full(markets, NO_LINE), np.zeros(markets, np.int64), np.full(markets, np.nan))
    for ago in range(TRIGGER_BARS, 0, -1):
        best = lines.best(ago, len(sides))
        (side,) = ((best != NO_LINE) & (bars - ago >= FIRST_TRIGGER)).nonzero()
        line = best[side]
        strength = sides[side, -ago] - lines.at(line, bars[side] - ago)
        still = sides[side, -1] - lines.at(line, bars[side] - 1)
        (broken,) = ((strength > REACH + MARGIN) & (still > MARGIN)).nonzero()
        broken = broken[np.lexsort((-side[broken], strength[broken]))]  # the stronger comes last, and stays
        market = side[broken] % markets
        found.line[market], found.ago[market], found.strength[market] = line[broken], ago, strength[broken]
    return found


def line_equation(slope: float, intercept: float) -> str:
    """Write a line as a formula for people, with x the index of a bar, like `RSI = -0.25·x + 61.5`."""
    return f"RSI = {slope:.6g}·x {'-' if intercept < 0 else '+'} {abs(intercept):.6g}"


def reverse_rsi_price(close: Floats, rises: Floats, falls: Floats, target: Floats) -> Floats:
    """Return the close of the next bar at which RSI(14) would be `target`; NaN where no such price exists.

    With rises and falls Wilder's averages AvgU and AvgD after the last bar, which closed at `close`, and
    RS = target / (100 − target): x = 13 × (RS × AvgD − AvgU), and the price is close + x for a rise, close + x / RS
    for a fall.
    """
    target = np.where((target > 0.0) & (target < 100.0), target, np.nan)
    strength = target / (100.0 - target)
    move = (PERIOD - 1) * (strength * falls - rises)
    price = close + np.where(move >= 0.0, move, move / strength)
    return np.where(price > 0.0, price, np.nan)


def _unpassed(sides: Floats, row: Ints, column: Ints, height: Floats) -> Ints:
    """Return the pivots that no later value passed by more than 1.0 until three bars ago: no other starts a line."""
    newest_first = sides[:, -TRIGGER_BARS - 1 :: -1]
    highest_later = np.maximum.accumulate(newest_first, axis=1)[:, ::-1][row, column + 1]
    (places,) = (highest_later - (height + (REACH + MARGIN)) < 0.0).nonzero()
    return places


def _least_slopes(sides: Floats, column: Ints, height: Floats) -> tuple[Floats, Floats]:
    """Return the least slope of a line from each pivot that had held until three bars ago, and at each bar since.

    A later value breaks every line that falls faster than the way from the pivot to the point 1.0 below that value.
    `sides` has the pivot's side in each row.
    """
    bars_later = np.arange(float(LOOK_BACK)) - column[:, None]
    climb = sides - (height + (REACH + MARGIN))[:, None]
    slopes = np.where(bars_later > 0.0, climb / np.maximum(bars_later, 1.0), -np.inf)
    return np.maximum.reduce(slopes[:, :-TRIGGER_BARS], axis=1), slopes[:, -TRIGGER_BARS:]


def _later_pivots(pivots: Ints, row: Ints) -> tuple[Ints, Ints]:
    """Pair each of the pivots with every later one of its side; returns its number, and the place of the later."""
    count = np.searchsorted(row, row[pivots], side="right") - pivots - 1
    number = np.repeat(np.arange(len(pivots)), count)
    offset = np.arange(len(number)) - np.repeat(np.cumsum(count) - count, count)
    return number, pivots[number] + 1 + offset
