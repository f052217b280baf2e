"""The interval that an exchange charges funding for."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

#: Hours that a funding rate is for, of exchanges that do not charge it every 8, by name in small letters.
FUNDING_INTERVAL_HOURS: Final = {"hyperliquid": 1.0}


#: The interval that rules state funding for, in hours; also that of an exchange that nobody says.
FUNDING_HOURS: Final = 8.0


def rate_for_8_hours(rate: float, interval_hours: float | None) -> float:
    """Return a funding rate for 8 hours, in the unit of `rate`; `interval_hours` is None where nobody says it."""
    return rate * FUNDING_HOURS / (interval_hours or FUNDING_HOURS)


def funding_interval_hours(exchanges: pd.Series[Any]) -> npt.NDArray[np.float64]:
    """Return the hours that a funding rate of each exchange (by name) is for; NaN where nobody says."""
    known = [FUNDING_INTERVAL_HOURS.get(name.casefold(), np.nan) for name in exchanges]
    return np.array(known, dtype=np.float64)
