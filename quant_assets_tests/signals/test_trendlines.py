"""RSI trendlines drawn on RSI values made by hand.

A series is 50 unless a test sets values: single values above or below are pivots, and lines through them are easy to
work out. `peaks({60: 70, 80: 65})` is 70 at bar 60 and 65 at bar 80, so its line falls by a quarter point a bar.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from quant_assets.signals.features.indicators import tails
from quant_assets.signals.features.pivots import pivot_highs
from quant_assets.signals.features.trendlines import (
    LOOKBACK_BARS,
    NO_LINE,
    Lines,
    draw_lines,
    find_breakouts,
    line_equation,
)


class Line(NamedTuple):
    """A line with its pivots and values."""

    start: int
    end: int
    slope: float
    intercept: float
    touches: int


class Breakout(NamedTuple):
    """A breakout, and the line that was broken."""

    side: str
    index: int
    strength: float
    line: Line


def peaks(points: dict[int, float], count: int = 120, level: float = 50.0) -> np.ndarray:
    rsi = np.full(count, level)
    for index, value in points.items():
        rsi[index] = value
    return rsi


def drawn(rsi: np.ndarray) -> tuple[np.ndarray, np.ndarray, Lines]:
    recent, bars = tails([rsi], LOOKBACK_BARS), np.array([len(rsi)])
    return recent, bars, draw_lines(recent, bars)


def line_at(lines: Lines, place: int, ago: int) -> Line:
    sign = 1.0 if lines.side[place] == 0 else -1.0
    start, end, touches = (int(part[place]) for part in (lines.start, lines.end, lines.touches[ago]))
    return Line(start, end, sign * float(lines.slope[place]), sign * float(lines.intercept[place]), touches)


def best_of_side(rsi: np.ndarray, side: int) -> Line | None:
    *_, lines = drawn(rsi)
    place = int(lines.best(0, 2)[side])
    return None if place == NO_LINE else line_at(lines, place, 0)


def resistance(rsi: np.ndarray) -> Line | None:
    return best_of_side(rsi, 0)


def support(rsi: np.ndarray) -> Line | None:
    return best_of_side(rsi, 1)


def breakout(rsi: np.ndarray) -> Breakout | None:
    recent, bars, lines = drawn(rsi)
    found = find_breakouts(recent, bars, lines)
    place, ago = int(found.line[0]), int(found.ago[0])
    if place == NO_LINE:
        return None
    side = "LONG" if lines.side[place] == 0 else "SHORT"
    return Breakout(side, len(rsi) - ago, float(found.strength[0]), line_at(lines, place, ago))


def pivots(values: np.ndarray, order: int) -> tuple[list[int], list[int]]:
    row = values[None, :]
    return pivot_highs(row, order)[0].nonzero()[0].tolist(), pivot_highs(-row, order)[0].nonzero()[0].tolist()


def ends(line: Line | None) -> tuple[int, int] | None:
    return None if line is None else (line.start, line.end)


def test_pivot_exceeds_five_values_on_either_side() -> None:
    assert pivots(peaks({10: 70, 30: 20}, 40), 5) == ([10], [30])


def test_pivot_needs_all_its_neighbours() -> None:
    found, _ = pivots(peaks({4: 70, 5: 71, 34: 70, 35: 60}, 40), 5)
    assert found == [5, 34]
    assert pivots(peaks({35: 70}, 40), 5)[0] == []
    assert pivots(peaks({5: 70}, 10), 5)[0] == []


def test_value_equal_to_a_neighbour_is_no_pivot() -> None:
    assert pivots(peaks({10: 70, 12: 70}, 40), 5)[0] == []


def test_values_that_differ_by_rounding_are_no_pivot() -> None:
    rsi = peaks({60: 70 + 1e-13, 61: 70, 80: 65})
    assert resistance(rsi) is None


def test_resistance_is_a_falling_line_through_two_highs() -> None:
    line = resistance(peaks({60: 70, 80: 65}))
    assert line is not None
    assert (line.start, line.end, line.slope, line.intercept) == (60, 80, -0.25, 85.0)
    assert line.touches == 2


def test_support_is_exactly_the_mirror_of_a_resistance() -> None:
    up, down = resistance(peaks({60: 71.3, 80: 64.9})), support(100 - peaks({60: 71.3, 80: 64.9}))
    assert up is not None
    assert down is not None
    assert (down.slope, down.start, down.end) == (-up.slope, up.start, up.end)
    mirrored = support(-peaks({60: 71.3, 80: 64.9}))
    assert mirrored == up._replace(slope=-up.slope, intercept=-up.intercept)


def test_rising_line_through_highs_is_no_resistance() -> None:
    assert resistance(peaks({60: 65, 80: 70})) is None


def test_level_line_is_no_resistance() -> None:
    assert resistance(peaks({60: 70, 80: 70})) is None


@pytest.mark.parametrize(("second", "drawn"), [(69, None), (70, (60, 70))])
def test_pivots_of_a_line_are_at_least_ten_bars_apart(second: int, drawn: tuple[int, int] | None) -> None:
    assert ends(resistance(peaks({60: 70, second: 69}))) == drawn


@pytest.mark.parametrize(("height", "drawn"), [(56.75, (60, 80)), (56.8, None)])
def test_value_more_than_1_above_breaks_a_line_and_exactly_1_does_not(
    height: float, drawn: tuple[int, int] | None
) -> None:
    # the line is at 55.75 at bar 117, which is too recent for a pivot
    assert ends(resistance(peaks({60: 70, 80: 65, 117: height}))) == drawn


def test_value_between_the_pivots_breaks_a_line() -> None:
    assert resistance(peaks({60: 70, 70: 69, 71: 69, 80: 65})) is None


def test_value_before_the_first_pivot_does_not_break_a_line() -> None:
    assert ends(resistance(peaks({30: 95, 31: 95, 60: 70, 80: 65}))) == (60, 80)


def test_lines_of_a_market_are_independent_of_other_markets() -> None:
    some = [peaks({60: 70, 80: 65}), peaks({40: 80, 60: 75, 80: 70, 95: 30, 108: 41}), peaks({10: 70}, 20)]
    together = draw_lines(tails(some, LOOKBACK_BARS), np.array([len(rsi) for rsi in some]))
    best = together.best(0, 6).reshape(2, 3)
    for market, rsi in enumerate(some):
        for side, place in enumerate(best[:, market].tolist()):
            alone = best_of_side(rsi, side)
            assert (place == NO_LINE) == (alone is None)
            if alone is not None:
                found = (int(together.start[place]), int(together.end[place]), int(together.touches[0, place]))
                assert found == (alone.start, alone.end, alone.touches)


def test_line_with_the_most_touches_is_best() -> None:
    # 40→60→80 lie on one line; 80→100 is more recent and lies below it at the end
    line = resistance(peaks({40: 80, 60: 75, 80: 70, 100: 60}))
    assert line is not None
    assert (line.touches, line.slope) == (3, -0.25)


def test_most_recent_second_pivot_breaks_a_tie_of_touches() -> None:
    # 40→60 and 60→80 have two touches each, and 60 breaks 40→80
    assert ends(resistance(peaks({40: 80, 60: 76, 80: 68}))) == (60, 80)


def test_longer_line_breaks_a_tie_of_second_pivots() -> None:
    # 40, 60 and 80 touch each of the three lines through two of them
    line = resistance(peaks({40: 80, 60: 75, 80: 70}))
    assert ends(line) == (40, 80)


def test_touch_is_within_1_of_the_line_inclusive() -> None:
    line = resistance(peaks({40: 80, 60: 74, 80: 70}))
    assert line is not None
    assert (ends(line), line.touches) == ((40, 80), 3)


@pytest.mark.parametrize(("count", "drawn"), [(180, (60, 80)), (181, None)])
def test_only_pivots_of_the_last_120_bars_are_used(count: int, drawn: tuple[int, int] | None) -> None:
    assert ends(resistance(peaks({60: 70, 80: 69.5}, count))) == drawn


def test_pivot_counts_from_the_fifth_bar_after_it() -> None:
    assert ends(resistance(peaks({60: 70, 80: 65}, 86))) == (60, 80)
    assert resistance(peaks({60: 70, 80: 65}, 85)) is None


def test_short_or_empty_series_has_no_lines() -> None:
    assert resistance(np.full(10, np.nan)) is None
    assert support(np.empty(0)) is None


def test_break_of_a_resistance_is_a_long_trigger_with_its_distance() -> None:
    found = breakout(peaks({60: 70, 80: 65, 119: 58}))
    assert found is not None
    assert (found.side, found.index, found.strength) == ("LONG", 119, 58 - 55.25)
    assert ends(found.line) == (60, 80)


def test_break_below_a_support_is_a_short_trigger() -> None:
    found = breakout(peaks({60: 30, 80: 35, 119: 42}))
    assert found is not None
    assert (found.side, found.index, found.strength) == ("SHORT", 119, 44.75 - 42)


@pytest.mark.parametrize(("bar", "found"), [(119, True), (118, True), (117, True), (116, False)])
def test_break_is_found_only_at_the_last_three_bars(bar: int, found: bool) -> None:
    rsi = peaks({60: 70, 80: 65})
    rsi[bar:] = 58.0
    trigger = breakout(rsi)
    assert (trigger is not None) is found
    assert trigger is None or trigger.index == bar


@pytest.mark.parametrize(("height", "found"), [(56.25, False), (56.3, True)])
def test_break_exceeds_the_line_by_more_than_1(height: float, found: bool) -> None:
    assert (breakout(peaks({60: 70, 80: 65, 119: height})) is not None) is found


@pytest.mark.parametrize(("now", "found"), [(55.0, False), (55.4, True)])
def test_rsi_must_still_be_beyond_the_line(now: float, found: bool) -> None:
    # broken at bar 118; at the last bar the line is at 55.25
    assert (breakout(peaks({60: 70, 80: 65, 118: 58, 119: now})) is not None) is found


def test_newest_break_of_both_sides_is_used() -> None:
    # the lines cross: RSI stays at 50, is 1.4 above the resistance at bar 117 and 1.2 below the support at bar 119
    found = breakout(peaks({60: 82.8, 80: 70.8, 95: 29.6, 108: 41.3}))
    assert found is not None
    assert (found.side, found.index, found.strength) == ("SHORT", 119, pytest.approx(1.2))


def test_stronger_of_two_breaks_at_the_same_bar_is_used() -> None:
    # RSI stays at 50, and at bar 119 is 1.2 above the resistance and 1.5 below the support
    found = breakout(peaks({60: 66.5, 80: 60.5, 95: 37.1, 108: 44.9}))
    assert found is not None
    assert (found.side, found.index, found.strength) == ("SHORT", 119, pytest.approx(1.5))


def test_break_before_bar_50_is_ignored() -> None:
    early = {15: 70, 30: 65}
    assert breakout(peaks(early | {49: 80}, 50)) is None
    assert breakout(peaks(early | {50: 80}, 51)) is not None


def test_broken_line_is_drawn_without_knowledge_of_the_break() -> None:
    # bar 80 becomes a pivot only with bar 85: a break at bar 84 is one of a line that does not reach bar 80
    rsi = peaks({40: 75, 60: 70, 80: 65}, 85)
    rsi[84] = 72.0
    found = breakout(rsi)
    assert found is not None
    assert ends(found.line) == (40, 60)


def test_touches_of_a_broken_line_exclude_later_pivots() -> None:
    rsi = peaks({40: 80, 60: 75, 80: 70, 112: 62}, 118)  # bar 112 is on the line, and is known from bar 117 on
    rsi[117] = 66.0
    found = breakout(rsi)
    assert found is not None
    assert found.line.touches == 3


def test_line_equation_is_a_readable_formula() -> None:
    assert line_equation(-0.25, 85.0) == "RSI = -0.25·x + 85"
    assert line_equation(0.5, -10.0) == "RSI = 0.5·x - 10"
