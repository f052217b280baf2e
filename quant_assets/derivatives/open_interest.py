"""Statistics of a market's open interest over the last 24 hours."""

from __future__ import annotations

import math
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Final

import numpy as np

from quant_assets.common.windows import Window
from quant_assets.derivatives.bar_times import closed_ms, needed_since, opened_before
from quant_assets.derivatives.dataset_spec import CLOSED_AT, DatasetSpec, Values

if TYPE_CHECKING:
    from quant_assets.derivatives.store import DerivativesStore

Z_SCORE_POINTS: Final = 30
MIN_Z_SCORE_POINTS: Final = 14
#: The maximum age, at a window's end, of the last point of a series: an older one has no z-score, and signals do not
#: count its value.
MAX_OI_AGE_SECONDS: Final = 2 * 60 * 60
#: The minimum time between the first and the last close for a change of 24 hours.
CHANGE_MIN_SECONDS: Final = 23 * 3600


def read_open_interest(spec: DatasetSpec, store: DerivativesStore, symbols: list[str], window: Window) -> Values:
    """Return value, z_score, points, average, slope and change_24h_pct of each symbol with a close in 24 hours."""
    rows = store.bars(spec.name, symbols, needed_since(window), opened_before(window))
    values = {}
    for symbol, group in groupby(rows, key=itemgetter(0)):
        bars = list(group)
        closes = np.array([bar[-1] for bar in bars], dtype=np.float64)
        values[str(symbol)] = {
            CLOSED_AT: closed_ms(bars[-1][1]),
            **open_interest_statistics(closes),
            "change_24h_pct": change_24h_pct(np.array([bar[1] for bar in bars]), closes),
        }
    return values


def open_interest_statistics(closes: np.ndarray) -> dict[str, float]:
    """Return value, z_score, points, average and slope of open-interest closes, oldest first (at least one)."""
    recent = closes[-Z_SCORE_POINTS:]
    flat = recent.max() == recent.min()
    deviation = 0.0 if flat else float(recent.std())
    enough = len(recent) >= MIN_Z_SCORE_POINTS and deviation > 0
    steps = np.arange(len(closes), dtype=np.float64)
    steps -= steps.mean()
    average = float(closes.mean())
    return {
        "value": float(closes[-1]),
        "z_score": float((recent[-1] - recent.mean()) / deviation) if enough else math.nan,
        "points": float(len(closes)),
        "average": average,
        "slope": float(steps @ (closes - average) / (steps @ steps)) if len(closes) > 1 else math.nan,
    }


def change_24h_pct(times: np.ndarray, closes: np.ndarray) -> float:
    """Return the change from the first close to the last, in percent.

    `times` are the opening times of the bars in seconds, oldest first (at least one). NaN if the first is less than
    23 hours older than the last, or is 0.
    """
    if times[-1] - times[0] < CHANGE_MIN_SECONDS or closes[0] <= 0:
        return math.nan
    return float((closes[-1] - closes[0]) / closes[0] * 100)
