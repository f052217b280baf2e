"""Comparisons that rounding must not decide.

Here: "above" and "below" with the margin of one part in 10⁹ that signals use wherever two computed numbers can be
equal in exact arithmetic: a flat market's average and its price, a depth of exactly 0.3, a reward of exactly twice
the risk. Not here: comparisons of prices as they were traded, which are exact.
"""

from __future__ import annotations

MARGIN = 1e-9
"""Relative for prices and ratios; absolute, in RSI points, for RSI values (which run from 0 to 100)."""


def above(value: float, bound: float) -> bool:
    """Whether `value` is greater than `bound` by more than one part in 10⁹ of it."""
    return value - bound > MARGIN * abs(bound)


def below(value: float, bound: float) -> bool:
    """Whether `value` is smaller than `bound` by more than one part in 10⁹ of it."""
    return bound - value > MARGIN * abs(bound)


def within(value: float, lowest: float, highest: float) -> bool:
    """Whether `value` lies in the range; both bounds belong to it."""
    return not (below(value, lowest) or above(value, highest))
