"""Bars of a market with those after a cut missing or replaced, and the comparison of series computed on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from quant_assets.signals.own.market_candles import Frames, closing_ms

Floats = npt.NDArray[np.float64]

TOLERANCE: Final = 1e-9
"""Maximum difference of two values of a series, as a share of the 90th percentile of its changes."""
FACTORS: Final = {"are missing": 0.0, "are multiplied by 1.5": 1.5, "are multiplied by 0.5": 0.5}
"""What becomes of the bars after a cut → what they are multiplied by, 0 to leave them out."""


def rows_closed_by(bars: Frames, end_ms: int) -> dict[str, int]:
    """Return the number of bars of each timeframe that had closed by a moment, epoch ms."""
    return {
        timeframe: int(closing_ms(frame, timeframe).searchsorted(end_ms, side="right"))
        for timeframe, frame in bars.items()
    }


def changed_after(bars: Frames, rows: Mapping[str, int], factor: float) -> Frames:
    """Return the bars with those after the first `rows` multiplied by a factor, or left out if it is 0."""
    changed = {}
    for timeframe, frame in bars.items():
        if factor:
            changed[timeframe] = frame.copy(deep=True)
            changed[timeframe].iloc[rows[timeframe] :] *= factor
        else:
            changed[timeframe] = frame.iloc[: rows[timeframe]]
    return changed


def scale_of(values: Floats) -> float:
    """Return the 90th percentile of the changes of a series; the largest change, or value, if that is 0."""
    known = values[~np.isnan(values)]
    changes = np.abs(np.diff(known))
    if not len(changes):
        return 0.0
    return float(np.percentile(changes, 90) or changes.max() or np.abs(known).max())


def difference(expected: Floats, found: Floats, scale: float) -> float | None:
    """Return the largest difference of two series, 0 within the tolerance, None if a value became known or unknown."""
    if not np.array_equal(np.isnan(expected), np.isnan(found)):
        return None
    differences = np.abs(expected - found)[~np.isnan(expected)]
    largest = float(differences.max()) if len(differences) else 0.0
    return largest if largest > TOLERANCE * scale else 0.0
