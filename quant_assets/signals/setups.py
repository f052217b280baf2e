"""A setup: entry, stop and target of a trade."""

from __future__ import annotations

from dataclasses import dataclass

from quant_assets.signals.sides import LONG


@dataclass(frozen=True, slots=True)
class Setup:
    """Prices of a trade: 0 < sl < entry < tp for LONG, 0 < tp < entry < sl for SHORT."""

    side: str
    entry: float
    sl: float
    tp: float

    @property
    def rr(self) -> float:
        """Reward / risk: distance to the target over distance to the stop."""
        return (self.tp - self.entry) / (self.entry - self.sl)


def valid_setup(side: str, entry: float, sl: float, tp: float) -> Setup | None:
    """Return the setup, or None if the prices are not in order."""
    is_valid = 0.0 < sl < entry < tp if side == LONG else 0.0 < tp < entry < sl
    return Setup(side, entry, sl, tp) if is_valid else None
