"""How a market got its derivatives."""

from __future__ import annotations

from enum import StrEnum


class MarketStatus(StrEnum):
    """Where the open interest of a market comes from."""

    RESOLVED = "resolved"
    """From the market's own exchange."""
    AGGREGATED = "aggregated"
    """From a market of another exchange, or another market of the same one."""
    NEUTRAL = "neutral"
    """From nowhere: neutral values are used."""
