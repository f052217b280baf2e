"""Scores that all strategies share: open-interest flow and sentiment."""

from __future__ import annotations

import math
from collections.abc import Mapping

from quant_assets.signals.features.model import Features
from quant_assets.signals.sides import SIGN

DECIMALS = 6
"""Decimals to which scores are rounded before they are compared or shown."""
PENALTY = "penalty"
"""Name of the part that is subtracted from the score."""
SUMS = frozenset({"base", "total"})
"""Names of sums of parts in the feed; reserved, no part may have one."""
OI_FLOW_MAX, SENTIMENT_MAX = 20.0, 10.0
"""Maximum points of the two scores."""
OI_FLOW_READS = ("oi_z",)
SENTIMENT_READS = ("funding_rate_pct", "funding_interval_hours", "long_short_ratio")
"""Fields of the features that the two scores read."""


def clip(value: float, lowest: float, highest: float) -> float:
    """Return the value, limited to the range from `lowest` to `highest`."""
    return min(max(value, lowest), highest)


def oi_flow(features: Features) -> float:
    """Return the score of open interest, 0 to 20: 10 + z × 10/3, or 10 without a z-score."""
    if features.oi_z is None:
        return 10.0
    return clip(10.0 + features.oi_z * 10.0 / 3.0, 0.0, OI_FLOW_MAX)


def sentiment(features: Features, bias: str) -> float:
    """Return the score of sentiment, 0 to 10: below 5 if the side pays funding or most accounts are on it.

    Funding is scaled to 8 hours. An unknown input, or a ratio that is not positive, adds nothing to the neutral 5.
    """
    sign = SIGN[bias]
    score = 5.0
    funding_8h_pct = features.funding_8h_pct
    if funding_8h_pct is not None:
        score += sign * 2.5 * clip(-funding_8h_pct / 0.05, -1.0, 1.0)
    if features.long_short_ratio is not None and features.long_short_ratio > 0.0:
        score += sign * 2.5 * clip(-math.log2(features.long_short_ratio), -1.0, 1.0)
    return score


def rounded(points: float) -> float:
    """Round to the decimals of a score; whole numbers are returned at once, as most points are."""
    points = float(points)
    return points if points.is_integer() else round(points, DECIMALS)


def score_of(parts: Mapping[str, float]) -> float:
    """Return the sum of the parts minus the penalty, clipped to 0–100 and rounded."""
    total = 0.0
    for name, points in parts.items():
        total += -points if name == PENALTY else points
    return rounded(clip(total, 0.0, 100.0))
