"""The scores of `scores.py` for many markets at once, the same to the last bit; NaN is unknown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from quant_assets.derivatives.funding import FUNDING_HOURS
from quant_assets.signals.features.bars import Floats
from quant_assets.signals.scores import (
    DECIMALS,
    FULL_FUNDING_PCT,
    FULL_Z,
    OI_FLOW_MAX,
    OI_FLOW_NEUTRAL,
    PENALTY,
    SENTIMENT_NEUTRAL,
    SENTIMENT_STEP,
    rounded,
)

_SCALE = 10.0**DECIMALS
_MAX_ROUNDING_ERROR = 1e-3
"""Distance from the middle of two decimals up to which Python's exact rounding decides; in units of the last."""


def oi_flow_scores(oi_z: Floats) -> Floats:
    """Return the scores of open interest by its z-scores."""
    found = clip(OI_FLOW_NEUTRAL + oi_z * OI_FLOW_NEUTRAL / FULL_Z, 0.0, OI_FLOW_MAX)
    return np.where(np.isnan(oi_z), OI_FLOW_NEUTRAL, found)


def sentiment_scores(features: Mapping[str, npt.NDArray[Any]], sign: Floats) -> Floats:
    """Return the scores of sentiment; `sign` is +1 for LONG, −1 for SHORT, 0 for NONE."""
    rate, hours = features["funding_rate_pct"], features["funding_interval_hours"]
    ratio = features["long_short_ratio"]
    score = np.full(len(sign), SENTIMENT_NEUTRAL)
    (known,) = (~np.isnan(rate)).nonzero()
    if len(known):
        hours = np.where(np.isnan(hours[known]) | (hours[known] == 0.0), FUNDING_HOURS, hours[known])
        paid = clip(-(rate[known] * FUNDING_HOURS / hours) / FULL_FUNDING_PCT, -1.0, 1.0)
        score[known] += sign[known] * SENTIMENT_STEP * paid
    (known,) = (ratio > 0.0).nonzero()
    if len(known):  # the last bit of numpy's log2 differs from that of math.log2
        crowd = np.array([-math.log2(value) for value in ratio[known].tolist()])
        score[known] += sign[known] * SENTIMENT_STEP * clip(crowd, -1.0, 1.0)
    return score


def scores_of(parts: Mapping[str, Floats]) -> Floats:
    """Return the sums of the parts minus the penalty, clipped to 0–100 and rounded."""
    total: Floats | float = 0.0
    for name, points in parts.items():
        total = total + (-points if name == PENALTY else points)
    return round_points(clip(np.asarray(total, dtype=np.float64), 0.0, 100.0))


def round_points(points: Floats) -> Floats:
    """Round to the decimals of a score as Python's `round` does, which numpy's differs from near the middle."""
    scaled = points * _SCALE
    whole = np.rint(scaled)
    found: Floats = whole / _SCALE
    (close,) = (np.abs(np.abs(scaled - whole) - 0.5) < _MAX_ROUNDING_ERROR).nonzero()
    if len(close):
        found[close] = [rounded(value) for value in points[close].tolist()]
    return found


def clip(values: Floats, lowest: float, highest: float) -> Floats:
    """Return the values, limited to the range from `lowest` to `highest`."""
    found: Floats = np.minimum(np.maximum(values, lowest), highest)
    return found
