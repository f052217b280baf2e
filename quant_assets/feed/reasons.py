"""Short texts of why a strategy waits: the reason, the measured value, and the limit that it missed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

_UNITS: Final = {"price_moved_away": " %", "stop_too_close": " %"}


class ReasonNumbers(NamedTuple):
    """A measured value and its limit as text with units, and how they compare: <, > or =."""

    value: str
    sign: str
    bound: str


def reason_numbers(details: Mapping[str, Any]) -> ReasonNumbers | None:
    """Return the numbers of a reason in a signal's `details`; None if it has none, or the feed is of version 1.0."""
    value, bound = details.get("reason_value"), details.get("reason_bound")
    if value is None or bound is None:
        return None
    unit = _UNITS.get(details["reason"], "")
    digits = 3 if f"{value:.3g}" != f"{bound:.3g}" else 6
    sign = "<" if value < bound else ">" if value > bound else "="
    return ReasonNumbers(f"{value:.{digits}g}{unit}", sign, f"{bound:.{digits}g}{unit}")


def reason_summary(details: Mapping[str, Any]) -> str:
    """Return the reason of a signal's `details`, like "poor risk reward: 0.83 < 1"; empty if there is a setup."""
    reason = (details["reason"] or "").replace("_", " ")
    numbers = reason_numbers(details)
    return reason if numbers is None else f"{reason}: {numbers.value} {numbers.sign} {numbers.bound}"
