"""Scores that all strategies share: open-interest flow and sentiment."""

from __future__ import annotations

import math
from collections.abc import Mapping

from quant_assets.signals.features.model import Features
from quant_assets.signals.sides import SIGN

DECIMALS = 6
"""Scores are rounded to these before they are compared or shown."""
PENALTY = "penalty"
"""The part that counts against the score."""
SUMS = frozenset({"base", "total"})
"""What the feed calls sums of parts; no part has one of these names."""
OI_FLOW_MAX, SENTIMENT_MAX = 20.0, 10.0
"""Most points of the two scores."""
OI_FLOW_READS = ("oi_z",)
SENTIMENT_READS = ("funding_rate_pct", "funding_interval_hours", "long_short_ratio")
"""Fields of the features that the two scores are made from."""


def clip(value: float, lowest: float, highest: float) -> float:
    """Bound a value from both sides."""
    return min(max(value, lowest), highest)


def oi_flow(features: Features) -> float:
    """Score open interest, 0 to 20: 10 + z × 10/3, and 10, the middle, where there is no z-score."""
    if features.oi_z is None:
        return 10.0
    return clip(10.0 + features.oi_z * 10.0 / 3.0, 0.0, OI_FLOW_MAX)


def sentiment(features: Features, bias: str) -> float:
    """Score the crowd, 0 to 10, with 5 the middle: a side that pays funding or is crowded counts against itself.

    Funding counts for 8 hours, whatever interval it is charged in. An input that is unknown, or a ratio that is not
    positive, leaves its term out.
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
    """Round to the decimals of a score; whole points, as most are, need no rounding."""
    points = float(points)
    return points if points.is_integer() else round(points, DECIMALS)


def score_of(parts: Mapping[str, float]) -> float:
    """Add up the parts, take the penalty off, bound to 0–100 and round."""
    total = 0.0
    for name, points in parts.items():
        total += -points if name == PENALTY else points
    return rounded(clip(total, 0.0, 100.0))
