"""Legacy: follow the 4h trend at a 15m pullback."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from quant_assets.signals.features.model import Features
from quant_assets.signals.features.tolerance import above
from quant_assets.signals.reasons import Reason
from quant_assets.signals.scores import (
    OI_FLOW_MAX,
    OI_FLOW_READS,
    PENALTY,
    SENTIMENT_MAX,
    SENTIMENT_READS,
    oi_flow,
    score_of,
    sentiment,
)
from quant_assets.signals.setups import Setup, valid_setup
from quant_assets.signals.sides import LONG, NONE, SIGN
from quant_assets.signals.strategy import Limits, Reads, Strategy
from quant_assets.signals.verdict import Refusal, Verdict

DIRECTION_SIGN = {"BULLISH": 1.0, "BEARISH": -1.0, "NEUTRAL": 0.0, "NONE": 0.0}
"""OBV imbalance or divergence → sign of the side that it supports."""


@dataclass(frozen=True)
class Legacy(Strategy):
    """Trade in the direction of the 4h averages, at a 15m pullback."""

    name = "Legacy"
    key = "legacy"
    description = (
        "Trend and pullback: LONG if the 4h close is above its EMA50 and that above its EMA200, at a 15m "
        "pullback of 30 to 80 %; SHORT mirrored. Waits for a score of 70, unless changed."
    )
    strategy_type = "trend_pullback"
    parts = ("trend", "structure", "money_flow", "timing", "oi_flow", "sentiment", PENALTY)
    max_points: ClassVar = {
        "trend": 25.0,
        "structure": 20.0,
        "money_flow": 20.0,
        "timing": 5.0,
        "oi_flow": OI_FLOW_MAX,
        "sentiment": SENTIMENT_MAX,
        PENALTY: 20.0,
    }
    limits: ClassVar[Limits] = {"threshold": (0.0, 100.0), "stop_atr": (0.0, 100.0), "min_reward": (0.0, 100.0)}
    renamed_parameters: ClassVar = {"least_reward": "min_reward"}
    reads: ClassVar[Reads] = {
        "bias": ("trend_bias",),
        "trend": ("trend_bias", "htf_adx"),
        "structure": ("is_pullback",),
        "money_flow": ("trend_bias", "obv_imbalance"),
        "timing": ("is_pullback", "is_volume_quiet"),
        "oi_flow": OI_FLOW_READS,
        "sentiment": ("trend_bias", *SENTIMENT_READS),
        PENALTY: ("trend_bias", "divergence", "is_overextended"),
        "setup": ("trend_bias", "price", "ltf_atr", "ltf_low_20", "ltf_high_20", "ltf_low_100", "ltf_high_100"),
    }

    threshold: float = 70.0
    """Smallest score of a setup."""
    stop_atr: float = 0.5
    """Distance of the stop beyond the 20-bar extreme, in ATR(14)."""
    min_reward: float = 2.0
    """Smallest distance of the target from the price, as a multiple of the distance of the stop."""

    def judge(self, features: Features) -> Verdict:
        """Score trend, pullback, money flow and derivatives; a setup if the score reaches the threshold."""
        bias = features.trend_bias
        parts = self._parts(features, bias)
        setup = self._setup(features, bias) if bias != NONE else None
        return Verdict.of(bias, parts, self._reason(bias, score_of(parts), setup), setup)

    def _reason(self, bias: str, score: float, setup: Setup | None) -> str | Refusal:
        if bias == NONE:
            return Reason.NO_TREND
        if score < self.threshold:
            return Refusal(Reason.SCORE_BELOW_THRESHOLD, score, self.threshold)
        if setup is None:
            return Reason.NO_VALID_SETUP
        return self.refuse_close_stop(setup.entry, setup.sl) or ""

    def _parts(self, f: Features, bias: str) -> dict[str, float]:
        is_strong = f.htf_adx is not None and above(f.htf_adx, 25.0)
        imbalance = SIGN[bias] * DIRECTION_SIGN[f.obv_imbalance]
        diverges = SIGN[bias] * DIRECTION_SIGN[f.divergence] < 0.0
        return {
            "trend": 0.0 if bias == NONE else 25.0 if is_strong else 15.0,
            "structure": 20.0 if f.is_pullback else 0.0,
            "money_flow": 10.0 + 10.0 * imbalance,
            "timing": 5.0 if f.is_pullback and f.is_volume_quiet else 0.0,
            "oi_flow": oi_flow(f),
            "sentiment": sentiment(f, bias),
            PENALTY: 10.0 * diverges + 10.0 * f.is_overextended,
        }

    def _setup(self, f: Features, side: str) -> Setup | None:
        is_long, sign = side == LONG, SIGN[side]
        extreme, far_extreme = (f.ltf_low_20, f.ltf_high_100) if is_long else (f.ltf_high_20, f.ltf_low_100)
        if extreme is None or far_extreme is None or f.ltf_atr is None:
            return None
        sl = extreme - sign * self.stop_atr * f.ltf_atr
        reward = f.price + self.min_reward * (f.price - sl)
        tp = max(far_extreme, reward) if is_long else min(far_extreme, reward)
        return valid_setup(side, f.price, sl, tp)


strategy = Legacy()
