"""Numbers and times as text for people: prices, ages, percentages, amounts. None means unknown and stays None."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from quant_assets.common.text import format_age
from quant_assets.feed.build import FRESH_SECONDS, OLD_PRICE_SECONDS

MINUS: Final = "\N{MINUS SIGN}"
_ZEROS: Final = re.compile(r"^0\.(0{3,})(?=[1-9])")
_SUBSCRIPTS: Final = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_AMOUNTS: Final = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))


def price_decimals(price: float) -> int:
    """Return the number of decimals that shows at least five digits of a price; use it for all prices of a market."""
    return min(max(4 - math.floor(math.log10(price)), 1), 12) if price > 0 else 2


def price(value: float | None, decimals: int) -> str | None:
    """Format a price, like 93,985.0 or 0.00371920."""
    return None if value is None else f"{value:,.{decimals}f}"


def short_price(text: str | None) -> str | None:
    """Shorten the zeros of a tiny price, as traders do: 0.0₅71664 for 0.0000071664."""
    return text and _ZEROS.sub(lambda zeros: "0.0" + str(len(zeros[1])).translate(_SUBSCRIPTS), text)


def number(value: float | None, decimals: int = 2) -> str | None:
    """Format a number with fixed decimals, like 1,234.50."""
    return None if value is None else f"{value:,.{decimals}f}".replace("-", MINUS)


def signed(value: float | None, decimals: int, unit: str = "") -> str | None:
    """Format a number with its sign, like +0.0044 %."""
    return None if value is None else f"{value:+,.{decimals}f}{unit}".replace("-", MINUS)


def change(percent: float | None) -> str | None:
    """Format a change with three digits, like +1.23 % or −12.3 %."""
    if percent is None:
        return None
    decimals = 2 if abs(percent) < 9.995 else 1 if abs(percent) < 99.95 else 0
    return signed(percent, decimals, " %")


def amount(value: float | None) -> str | None:
    """Format an amount with three digits, like 4.60M."""
    if value is None:
        return None
    for size, letter in _AMOUNTS:
        if abs(value) >= 0.9995 * size:  # 999.6k is shown as 1.00M
            return f"{f'{value / size:#.3g}'.rstrip('.')}{letter}".replace("-", MINUS)
    return f"{value:.3g}".replace("-", MINUS)


def age(seconds: float | None) -> str | None:
    """Format an age, like 12 min, 3 h or 2 d."""
    return None if seconds is None else format_age(seconds)


def timestamp(epoch_ms: float) -> str:
    """Format a time in UTC to the minute, like 2026-01-19 16:45."""
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def stale_age(aged: Mapping[str, Any] | None) -> str | None:
    """Format the `age_seconds` of a derivative value if it is stale, else None."""
    seconds = None if aged is None else aged["age_seconds"]
    return age(seconds) if seconds is not None and seconds > FRESH_SECONDS else None


def old_price_age(signal: Mapping[str, Any]) -> str | None:
    """Format the age of a signal's price if its last bar is missing, else None. Feeds of version 1.0 have no age."""
    seconds = signal.get("price_age_seconds", 0.0)
    return f"{age(seconds)} old at the window's end" if seconds >= OLD_PRICE_SECONDS else None
