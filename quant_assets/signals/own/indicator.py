"""The declaration of an indicator: what page, Dagster and documents say of it, and where it is drawn."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

PRICE_CHART: Final = "price"
"""The chart of the candles."""
OWN_PREFIX: Final = "own_"
"""Prefix of a strategy's own indicators among the columns of its signal table, and in `Strategy.reads`."""
INDICATOR_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,59}")
"""Names of indicators: they become columns."""


class Indicator(NamedTuple):
    """What an indicator is, and the chart that it is drawn in.

    `chart` is `price` to draw it over the candles, another text for a chart of that title below the price, which all
    indicators of the same title and timeframe share, or empty to draw nothing.
    """

    text: str
    chart: str = ""
