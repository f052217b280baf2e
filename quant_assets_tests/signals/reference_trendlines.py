"""RSI trendlines and the breakout trigger for the reference implementation, in loops over lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from . import reference_indicators as reference
from .reference_inputs import Bar, known


class Line(NamedTuple):
    """A trendline over RSI through the pivots a and b, at indices into the HTF bars used."""

    a: int
    b: int
    value_a: float
    value_b: float
    touches: int

    @property
    def slope(self) -> float:
        return (self.value_b - self.value_a) / (self.b - self.a)

    def at(self, index: int) -> float:
        return self.value_a + self.slope * (index - self.a)


class Trigger(NamedTuple):
    """The break of a line at bar s."""

    side: str
    s: int
    strength: float
    line: Line


def greater(one: float, other: float) -> bool:
    """Return whether an RSI is strictly greater than another.

    RSI of unchanged closes is constant but for rounding, so values that differ by less than 10⁻⁹ are equal.
    """
    return one - other > 1e-9


def rsi_pivots(r: Sequence[float | None], n: int, kind: str) -> list[int]:
    """Reads "Pivot high at i: r[i] is strictly greater than each of the 5 values on either side, all eleven
    present. Pivot low: strictly smaller. Only pivots with i ≥ n − 120 are used"; over r[0 … n−1]."""
    pivots = []
    for i in range(max(5, n - 120), n - 5):
        around = [r[i + k] for k in (-5, -4, -3, -2, -1, 1, 2, 3, 4, 5)]
        here = r[i]
        present = [v for v in around if v is not None]
        if here is None or len(present) < 10:
            continue
        if kind == "resistance" and all(greater(here, v) for v in present):
            pivots.append(i)
        if kind == "support" and all(greater(v, here) for v in present):
            pivots.append(i)
    return pivots


def beyond_line(value: float, line: Line, index: int, kind: str) -> float:
    """Return how far a value is beyond a line: above a resistance, below a support."""
    return value - line.at(index) if kind == "resistance" else line.at(index) - value


def best_line(r: Sequence[float | None], n: int, kind: str) -> Line | None:
    """Reads "Candidate resistance: two pivot highs a < b with b − a ≥ 10 and a falling line through them;
    valid if no value from a to the last bar lies more than 1.0 above the line. Support: two pivot lows, a
    rising line, no value more than 1.0 below it. Of the valid candidates take the one with the most touches
    (pivots of that kind from a on that lie within 1.0 of the line, a and b included), then the most recent b,
    then the greater b − a"."""
    pivots = rsi_pivots(r, n, kind)
    best: Line | None = None
    for a in pivots:
        for b in pivots:
            if b - a < 10:
                continue
            line = Line(a, b, known(r[a]), known(r[b]), 0)
            if kind == "resistance" and line.slope >= 0.0:
                continue
            if kind == "support" and line.slope <= 0.0:
                continue
            beyond = [beyond_line(known(r[i]), line, i, kind) for i in range(a, n)]
            if max(beyond) > 1.0:
                continue
            touches = 0
            for i in pivots:
                if i in (a, b) or (i >= a and abs(known(r[i]) - line.at(i)) <= 1.0):
                    touches += 1
            line = line._replace(touches=touches)
            if best is None or (touches, b, b - a) > (best.touches, best.b, best.b - best.a):
                best = line
    return best


def reverse_rsi_price(closes: Sequence[float], target: float) -> float | None:
    """Reads "With AvgU, AvgD the Wilder averages after the last bar, T the target and RS = T / (100 − T): x =
    13 × (RS × AvgD − AvgU); price = close + x if x ≥ 0, else close + x / RS. … T is the line at index n;
    where T is not inside (0, 100), or the price not positive, there is none"."""
    if not 0.0 < target < 100.0:
        return None
    ups, downs = reference.wilder_averages(closes, 14)
    up, down = known(ups[-1]), known(downs[-1])
    rs = target / (100.0 - target)
    x = 13.0 * (rs * down - up)
    price = closes[-1] + x if x >= 0.0 else closes[-1] + x / rs
    return price if price > 0.0 else None


def find_trigger(r: Sequence[float | None]) -> Trigger | None:
    """Reads "For s = the last closed HTF bar, then the one before, then the one before that: draw the best
    line over r[0 … s−1] alone; if r[s] is more than 1.0 beyond it (above a resistance: LONG; below a support:
    SHORT), and r[n−1] is still beyond that line at n−1, that is the trigger of that side, with strength = the
    distance at s. Take the newest s of both sides; on a tie the greater strength. s must be at least 50"."""
    n = len(r)
    for s in (n - 1, n - 2, n - 3):
        found = breaks_at(r, s) if s >= 50 else []
        if found:
            return max(found, key=lambda trigger: trigger.strength)
    return None


def breaks_at(r: Sequence[float | None], s: int) -> list[Trigger]:
    """Reads the same for one s: the triggers of both sides."""
    n = len(r)
    found: list[Trigger] = []
    for kind, side in (("resistance", "LONG"), ("support", "SHORT")):
        line = best_line(r, s, kind)
        if line is None:
            continue
        strength = beyond_line(known(r[s]), line, s, kind)
        if strength > 1.0 and beyond_line(known(r[n - 1]), line, n - 1, kind) > 0.0:
            found.append(Trigger(side, s, strength, line))
    return found


def line_values(line: Line | None, closes: Sequence[float], htf: Sequence[Bar]) -> dict[str, Any] | None:
    """Reads "A line is reported with both pivots (index into the HTF bars used, value, time in ms), slope per
    bar, intercept at index 0, …, touches, the line's value at the last bar, and the reverse-RSI price"."""
    if line is None:
        return None
    n = len(htf)
    return {
        "a": line.a,
        "b": line.b,
        "value_a": line.value_a,
        "value_b": line.value_b,
        "time_a": htf[line.a].time_ms,
        "time_b": htf[line.b].time_ms,
        "slope": line.slope,
        "intercept": line.at(0),
        "touches": line.touches,
        "at_last": line.at(n - 1),
        "at_next": line.at(n),
        "price": reverse_rsi_price(closes, line.at(n)),
    }
