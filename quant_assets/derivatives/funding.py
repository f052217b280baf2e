"""Funding intervals of exchanges, and the conversion of rates to 8 hours."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from quant_assets.markets.exchanges import EXCHANGES

#: The funding interval in hours of exchanges with another one than 8 hours, by lower-case name.
FUNDING_INTERVAL_HOURS: Final = {
    exchange.name.casefold(): exchange.funding_interval_hours
    for exchange in EXCHANGES
    if exchange.funding_interval_hours is not None
}

#: The interval in hours that rules use, also for exchanges whose interval is unknown.
FUNDING_HOURS: Final = 8.0


def rate_for_8_hours(rate: float, interval_hours: float | None) -> float:
    """Return a funding rate for 8 hours, in the unit of `rate`; `interval_hours` is None if it is unknown."""
    return rate * FUNDING_HOURS / (interval_hours or FUNDING_HOURS)


def funding_interval_hours(exchanges: pd.Series[Any]) -> npt.NDArray[np.float64]:
    """Return the funding interval in hours of each exchange (by name); NaN if it is unknown."""
    known = [FUNDING_INTERVAL_HOURS.get(name.casefold(), np.nan) for name in exchanges]
    return np.array(known, dtype=np.float64)


def with_funding_interval(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table of a window with `interval_hours`, which follows from `source_exchange`."""
    return table.assign(interval_hours=funding_interval_hours(table["source_exchange"]))
