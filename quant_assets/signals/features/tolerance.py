"""Comparisons that rounding must not decide.

They take numbers, or arrays element by element; what is NaN is neither above nor below.
"""

from __future__ import annotations

from typing import Any, overload

from quant_assets.signals.features.bars import Floats, Truths

MARGIN = 1e-9
"""Relative for prices and ratios; absolute, in RSI points, for RSI values (which run from 0 to 100)."""


@overload
def above(value: float, bound: float) -> bool: ...
@overload
def above(value: Floats, bound: Floats | float) -> Truths: ...
def above(value: Any, bound: Any) -> Any:
    """Whether `value` is greater than `bound` by more than one part in 10⁹ of it."""
    return value - bound > MARGIN * abs(bound)


@overload
def below(value: float, bound: float) -> bool: ...
@overload
def below(value: Floats, bound: Floats | float) -> Truths: ...
def below(value: Any, bound: Any) -> Any:
    """Whether `value` is smaller than `bound` by more than one part in 10⁹ of it."""
    return bound - value > MARGIN * abs(bound)


def within(value: float, lowest: float, highest: float) -> bool:
    """Whether `value` lies in the range; both bounds belong to it."""
    return not (below(value, lowest) or above(value, highest))
