"""Figures as people read them: prices, ages, percentages, amounts.

What is unknown is None and stays None: the page has a sign of its own for it, and it is never 0.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Final

MINUS: Final = "\N{MINUS SIGN}"
_ZEROS: Final = re.compile(r"^0\.(0{3,})(?=[1-9])")
_LOW: Final = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_AMOUNTS: Final = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))


def price_decimals(price: float) -> int:
    """Return how many decimals show five digits of a price or more; prices of one market share them."""
    return min(max(4 - math.floor(math.log10(price)), 1), 12) if price > 0 else 2


def price(value: float | None, decimals: int) -> str | None:
    """Write a price, like 93,985.0 or 0.00371920."""
    return None if value is None else f"{value:,.{decimals}f}"


def short_price(text: str | None) -> str | None:
    """Count the zeros behind the point of a tiny price, as traders do: 0.0₅71664 for 0.0000071664."""
    return text and _ZEROS.sub(lambda zeros: "0.0" + str(len(zeros[1])).translate(_LOW), text)


def number(value: float | None, decimals: int = 2) -> str | None:
    """Write a number with fixed decimals, so that a column of them is aligned."""
    return None if value is None else f"{value:,.{decimals}f}".replace("-", MINUS)


def signed(value: float | None, decimals: int, unit: str = "") -> str | None:
    """Write a number with its sign, like +0.0044 %."""
    return None if value is None else f"{value:+,.{decimals}f}{unit}".replace("-", MINUS)


def change(percent: float | None) -> str | None:
    """Write a change with three digits, like +1.23 % or −12.3 %."""
    if percent is None:
        return None
    decimals = 2 if abs(percent) < 9.995 else 1 if abs(percent) < 99.95 else 0
    return signed(percent, decimals, " %")


def amount(value: float | None) -> str | None:
    """Write an amount with three digits, like 4.60M."""
    if value is None:
        return None
    for size, letter in _AMOUNTS:
        if abs(value) >= 0.9995 * size:  # 999.6k are 1.00M
            return f"{f'{value / size:#.3g}'.rstrip('.')}{letter}".replace("-", MINUS)
    return f"{value:.3g}".replace("-", MINUS)


def age(seconds: float | None) -> str | None:
    """Write an age, like 12 min, 3 h or 2 d."""
    if seconds is None:
        return None
    if seconds < 7200:
        return f"{seconds // 60:.0f} min"
    return f"{seconds // 3600:.0f} h" if seconds < 172_800 else f"{seconds // 86_400:.0f} d"


def moment(milliseconds: float) -> str:
    """Write a moment in UTC to the minute, like 2026-01-19 16:45."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M")
