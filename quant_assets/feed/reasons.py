"""Why a strategy waits, in a few words: the reason, what was measured, and the bound that it did not keep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

_UNITS: Final = {"price_moved_away": " %", "stop_too_close": " %"}


class Measured(NamedTuple):
    """A value and its bound as text, with their unit, and how the value stands to the bound: <, > or =."""

    value: str
    sign: str
    bound: str


def measured(details: Mapping[str, Any]) -> Measured | None:
    """Return what `details` of a signal say of its bound; None where the reason is none, or the feed is of 1.0."""
    value, bound = details.get("reason_value"), details.get("reason_bound")
    if value is None or bound is None:
        return None
    unit = _UNITS.get(details["reason"], "")
    digits = 3 if f"{value:.3g}" != f"{bound:.3g}" else 6
    sign = "<" if value < bound else ">" if value > bound else "="
    return Measured(f"{value:.{digits}g}{unit}", sign, f"{bound:.{digits}g}{unit}")


def reason_summary(details: Mapping[str, Any]) -> str:
    """Return the reason of a signal's `details`, like "poor risk reward: 0.83 < 1"; empty with a setup."""
    words = (details["reason"] or "").replace("_", " ")
    found = measured(details)
    return words if found is None else f"{words}: {found.value} {found.sign} {found.bound}"
