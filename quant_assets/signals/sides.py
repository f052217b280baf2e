"""Sides of a market and actions of a strategy."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Side(StrEnum):
    """Side of a trade, or NONE for a market without a direction. Members equal their plain strings."""

    LONG = "LONG"
    SHORT = "SHORT"
    NONE = "NONE"


class Action(StrEnum):
    """What to do on a market: enter a side, or WAIT without a setup. Members equal their plain strings."""

    LONG = "LONG"
    SHORT = "SHORT"
    WAIT = "WAIT"


LONG: Final = Side.LONG
SHORT: Final = Side.SHORT
NONE: Final = Side.NONE
WAIT: Final = Action.WAIT
SIGN: Final[dict[str, float]] = {LONG.value: 1.0, SHORT.value: -1.0, NONE.value: 0.0}
"""Side → +1 if it gains from rising prices, −1 if from falling prices, 0 for NONE."""
