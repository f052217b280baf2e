"""Comparisons that tolerate rounding errors, of numbers or element by element of arrays.

NaN is neither above nor below.
"""

from __future__ import annotations

from typing import Any, overload

from quant_assets.signals.features.bars import Bools, Floats

TOLERANCE = 1e-9
"""Relative for prices and ratios; absolute for RSI, in RSI points."""


@overload
def above(value: float, bound: float) -> bool: ...
@overload
def above(value: Floats, bound: Floats | float) -> Bools: ...
def above(value: Any, bound: Any) -> Any:
    """Return whether `value` is greater than `bound` by more than one part in 10⁹ of it."""
    return value - bound > TOLERANCE * abs(bound)


@overload
def below(value: float, bound: float) -> bool: ...
@overload
def below(value: Floats, bound: Floats | float) -> Bools: ...
def below(value: Any, bound: Any) -> Any:
    """Return whether `value` is smaller than `bound` by more than one part in 10⁹ of it."""
    return bound - value > TOLERANCE * abs(bound)


def within(value: float, lowest: float, highest: float) -> bool:
    """Return whether `value` is in the range, bounds included."""
    return not (below(value, lowest) or above(value, highest))
