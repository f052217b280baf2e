"""The two sides of a market, and neither."""

from __future__ import annotations

LONG = "LONG"
SHORT = "SHORT"
NONE = "NONE"
"""The bias of a market with no direction."""
WAIT = "WAIT"
"""The action of a market with no setup."""
SIGN = {LONG: 1.0, SHORT: -1.0, NONE: 0.0}
"""+1 where gains come from rising prices, −1 where from falling ones."""
