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
OI_FLOW_NEUTRAL, SENTIMENT_NEUTRAL = OI_FLOW_MAX / 2.0, SENTIMENT_MAX / 2.0
"""Points without data."""
FULL_Z = 3.0
"""Z-score of open interest with the maximum of points."""
FULL_FUNDING_PCT = 0.05
"""Funding for 8 hours with the full effect on the score of sentiment; a long/short ratio has it at 2 : 1."""
SENTIMENT_STEP = SENTIMENT_NEUTRAL / 2.0
"""Full effect of each of the two."""
OI_FLOW_TEXT = (
    f"{OI_FLOW_NEUTRAL:g} + {OI_FLOW_NEUTRAL:g} × z / {FULL_Z:g} for a z-score z of open interest, "
    f"0 to {OI_FLOW_MAX:g}; {OI_FLOW_NEUTRAL:g} if it is unknown."
)
SENTIMENT_TEXT = (
    f"{SENTIMENT_NEUTRAL:g} is neutral. Funding adds up to {SENTIMENT_STEP:g} if the other side pays it, and subtracts "
    f"up to {SENTIMENT_STEP:g} if this side pays it ({SENTIMENT_STEP:g} at {FULL_FUNDING_PCT:g} % for 8 hours). The "
    f"long/short ratio adds up to {SENTIMENT_STEP:g} if most accounts are on the other side, and subtracts up to "
    f"{SENTIMENT_STEP:g} if they are on this side ({SENTIMENT_STEP:g} at 2 : 1). Unknown data change nothing."
)
"""How the two scores are computed."""
OI_FLOW_READS = ("oi_z",)
SENTIMENT_READS = ("funding_rate_pct", "funding_interval_hours", "long_short_ratio")
"""Fields of the features that the two scores read."""


def clip(value: float, lowest: float, highest: float) -> float:
    """Return the value, limited to the range from `lowest` to `highest`."""
    return min(max(value, lowest), highest)


def oi_flow(features: Features) -> float:
    """Return the score of open interest, 0 to OI_FLOW_MAX, by its z-score; neutral without one."""
    if features.oi_z is None:
        return OI_FLOW_NEUTRAL
    return clip(OI_FLOW_NEUTRAL + features.oi_z * OI_FLOW_NEUTRAL / FULL_Z, 0.0, OI_FLOW_MAX)


def sentiment(features: Features, bias: str) -> float:
    """Return the score of sentiment, 0 to SENTIMENT_MAX: low if the side pays funding or most accounts are on it.

    Funding is scaled to 8 hours. An unknown input, or a ratio that is not positive, changes nothing.
    """
    sign = SIGN[bias]
    score = SENTIMENT_NEUTRAL
    funding_8h_pct = features.funding_8h_pct
    if funding_8h_pct is not None:
        score += sign * SENTIMENT_STEP * clip(-funding_8h_pct / FULL_FUNDING_PCT, -1.0, 1.0)
    if features.long_short_ratio is not None and features.long_short_ratio > 0.0:
        score += sign * SENTIMENT_STEP * clip(-math.log2(features.long_short_ratio), -1.0, 1.0)
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
