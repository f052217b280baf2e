"""Legacy: follow the 4h trend at a 15m pullback."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt

from quant_assets.signals.features.bars import Floats
from quant_assets.signals.features.candle_features import (
    MIN_TREND_BARS,
    OBV_LEAD,
    OBV_RANGE_BARS,
    PULLBACK,
    PULLBACK_BARS,
    VOLUME_BARS,
)
from quant_assets.signals.features.model import Features
from quant_assets.signals.features.tolerance import above
from quant_assets.signals.gates import COMMON_GATES, LIMIT, Gate
from quant_assets.signals.reasons import Reason
from quant_assets.signals.score_columns import oi_flow_scores, scores_of, sentiment_scores
from quant_assets.signals.scores import (
    OI_FLOW_MAX,
    OI_FLOW_READS,
    OI_FLOW_TEXT,
    PENALTY,
    SENTIMENT_MAX,
    SENTIMENT_READS,
    SENTIMENT_TEXT,
    oi_flow,
    score_of,
    sentiment,
)
from quant_assets.signals.setups import Setup, valid_setup
from quant_assets.signals.sides import LONG, NONE, SIGN
from quant_assets.signals.strategy import Limits, Reads, Strategy
from quant_assets.signals.verdict import Refusal, Verdict
from quant_assets.signals.verdict_columns import FeatureColumns, Refusals, Setups, Verdicts, signs_of, valid_setups

DIRECTION_SIGN = {"BULLISH": 1.0, "BEARISH": -1.0, "NEUTRAL": 0.0, "NONE": 0.0}
"""OBV imbalance or divergence → sign of the side that it supports."""
STRONG_ADX = 25.0
"""HTF ADX above which a trend is strong."""
WEAK_TREND, NEUTRAL_FLOW, FAULT = 15.0, 10.0, 10.0
"""Points of a trend that is not strong, of an OBV without a lead, and of each fault in the penalty."""


@dataclass(frozen=True)
class Legacy(Strategy):
    """Trade in the direction of the 4h averages, at a 15m pullback."""

    name = "Legacy"
    key = "legacy"
    description = (
        "Trend and pullback: LONG if the 4h close is above EMA50 and EMA50 above EMA200, SHORT if both are below. "
        "The score is highest in a 15m pullback."
    )
    strategy_type = "trend_pullback"
    parts = ("trend", "structure", "money_flow", "timing", "oi_flow", "sentiment", PENALTY)
    max_points: ClassVar = {
        "trend": 25.0,
        "structure": 20.0,
        "money_flow": 2.0 * NEUTRAL_FLOW,
        "timing": 5.0,
        "oi_flow": OI_FLOW_MAX,
        "sentiment": SENTIMENT_MAX,
        PENALTY: 2.0 * FAULT,
    }
    limits: ClassVar[Limits] = {"threshold": (0.0, 100.0), "stop_atr": (0.0, 100.0), "min_reward": (0.0, 100.0)}
    steps: ClassVar = {"threshold": 5.0, "stop_atr": 0.25, "min_reward": 0.25}
    search_ranges: ClassVar[Limits] = {"threshold": (50.0, 90.0), "stop_atr": (0.25, 2.0), "min_reward": (1.0, 4.0)}
    max_holding_minutes = 2_880
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

    threshold: Annotated[float, "Minimum score of a setup."] = 70.0
    stop_atr: Annotated[float, "Distance of the stop beyond the 20-bar extreme, in ATR(14) of 15m."] = 0.5
    min_reward: Annotated[
        float, "Minimum distance of the target from the price, as a multiple of the distance of the stop."
    ] = 2.0

    def judge(self, features: Features) -> Verdict:
        """Score trend, pullback, money flow and derivatives; a setup if the score reaches the threshold."""
        bias = features.trend_bias
        parts = self._parts(features, bias)
        setup = self._setup(features, bias) if bias != NONE else None
        return Verdict.of(bias, parts, self._reason(bias, score_of(parts), setup), setup)

    def judge_many(self, features: FeatureColumns) -> Verdicts:
        """Return the verdicts on many markets."""
        sign = signs_of(features["trend_bias"])
        parts = self._parts_columns(features, sign)
        score, setups = scores_of(parts), self._setups(features, sign)
        refusals = Refusals(len(sign))
        refusals.refuse(sign == 0.0, Reason.NO_TREND)
        refusals.refuse(score < self.threshold, Reason.SCORE_BELOW_THRESHOLD, score, self.threshold)
        refusals.refuse(~setups.exist, Reason.NO_VALID_SETUP)
        refusals.refuse_close_stops(setups.entry, setups.sl, self.min_stop_pct)
        return refusals.verdicts(sign, parts, setups)

    def explanations(self) -> Mapping[str, str]:
        """Return how parts, side and setup are computed."""
        points = self.max_points
        low, high = (f"{share * 100:g}" for share in PULLBACK)
        return {
            "bias": "LONG if the close is above EMA50 and EMA50 above EMA200, SHORT if both are below. On 4h, or on "
            f"15m if there are fewer than {MIN_TREND_BARS} bars of 4h.",
            "trend": f"{WEAK_TREND:g} with a side, {points['trend']:g} if ADX on 4h is above {STRONG_ADX:g}.",
            "structure": f"{points['structure']:g} in a pullback: the price came back {low} to {high} % of the range "
            f"of the last {PULLBACK_BARS} bars on 15m.",
            "money_flow": f"{points['money_flow']:g} if OBV leads the price in the direction of the side, 0 if against "
            f"it, else {NEUTRAL_FLOW:g}. It leads if its place in its range of {OBV_RANGE_BARS} bars on 15m differs "
            f"from that of the close by more than {OBV_LEAD * 100:g} %.",
            "timing": f"{points['timing']:g} in a pullback with volume on 15m below the mean of the last {VOLUME_BARS} "
            "bars.",
            "oi_flow": OI_FLOW_TEXT,
            "sentiment": SENTIMENT_TEXT,
            PENALTY: f"Subtracted: {FAULT:g} for a divergence of RSI against the side, {FAULT:g} for a price above the "
            "upper (LONG) or below the lower (SHORT) Bollinger band, both on 15m.",
            "setup": f"The stop is {self.stop_atr:g} ATR(14) beyond the low (LONG) or high (SHORT) of the last 20 bars "
            "on 15m. The target is the high (LONG) or low (SHORT) of the last 100 bars, but at least "
            f"{self.min_reward:g} times as far as the stop.",
        }

    def gates(self) -> Mapping[str, Gate]:
        """Return the conditions of a setup."""
        return {
            Reason.NO_TREND: Gate("Close, EMA50 and EMA200 must be in rising or falling order."),
            Reason.SCORE_BELOW_THRESHOLD: Gate(f"The score must be at least {LIMIT}.", self.threshold),
            Reason.NO_VALID_SETUP: COMMON_GATES[Reason.NO_VALID_SETUP],
        }

    def _reason(self, bias: str, score: float, setup: Setup | None) -> str | Refusal:
        if bias == NONE:
            return Reason.NO_TREND
        if score < self.threshold:
            return Refusal(Reason.SCORE_BELOW_THRESHOLD, score, self.threshold)
        if setup is None:
            return Reason.NO_VALID_SETUP
        return self.refuse_close_stop(setup.entry, setup.sl) or ""

    def _parts(self, f: Features, bias: str) -> dict[str, float]:
        is_strong = f.htf_adx is not None and above(f.htf_adx, STRONG_ADX)
        imbalance = SIGN[bias] * DIRECTION_SIGN[f.obv_imbalance]
        diverges = SIGN[bias] * DIRECTION_SIGN[f.divergence] < 0.0
        points = self.max_points
        return {
            "trend": 0.0 if bias == NONE else points["trend"] if is_strong else WEAK_TREND,
            "structure": points["structure"] if f.is_pullback else 0.0,
            "money_flow": NEUTRAL_FLOW + NEUTRAL_FLOW * imbalance,
            "timing": points["timing"] if f.is_pullback and f.is_volume_quiet else 0.0,
            "oi_flow": oi_flow(f),
            "sentiment": sentiment(f, bias),
            PENALTY: FAULT * diverges + FAULT * f.is_overextended,
        }

    def _parts_columns(self, f: FeatureColumns, sign: Floats) -> dict[str, Floats]:
        points = self.max_points
        trend = np.where(above(f["htf_adx"], STRONG_ADX), points["trend"], WEAK_TREND)
        imbalance = sign * _direction_signs(f["obv_imbalance"])
        diverges = sign * _direction_signs(f["divergence"]) < 0.0
        is_timely = f["is_pullback"] & f["is_volume_quiet"]
        return {
            "trend": np.where(sign == 0.0, 0.0, trend),
            "structure": np.where(f["is_pullback"], points["structure"], 0.0),
            "money_flow": NEUTRAL_FLOW + NEUTRAL_FLOW * imbalance,
            "timing": np.where(is_timely, points["timing"], 0.0),
            "oi_flow": oi_flow_scores(f["oi_z"]),
            "sentiment": sentiment_scores(f, sign),
            PENALTY: FAULT * diverges + FAULT * f["is_overextended"],
        }

    def _setups(self, f: FeatureColumns, sign: Floats) -> Setups:
        is_long, price = sign > 0.0, f["price"]
        sl = np.where(is_long, f["ltf_low_20"], f["ltf_high_20"]) - sign * self.stop_atr * f["ltf_atr"]
        reward = price + self.min_reward * (price - sl)
        tp = np.where(is_long, np.maximum(f["ltf_high_100"], reward), np.minimum(f["ltf_low_100"], reward))
        return valid_setups(sign, price, sl, tp)

    def _setup(self, f: Features, side: str) -> Setup | None:
        is_long, sign = side == LONG, SIGN[side]
        extreme, far_extreme = (f.ltf_low_20, f.ltf_high_100) if is_long else (f.ltf_high_20, f.ltf_low_100)
        if extreme is None or far_extreme is None or f.ltf_atr is None:
            return None
        sl = extreme - sign * self.stop_atr * f.ltf_atr
        reward = f.price + self.min_reward * (f.price - sl)
        tp = max(far_extreme, reward) if is_long else min(far_extreme, reward)
        return valid_setup(side, f.price, sl, tp)


def _direction_signs(directions: npt.NDArray[Any]) -> Floats:
    """Return the signs of OBV imbalances or divergences."""
    return np.where(directions == "BULLISH", 1.0, np.where(directions == "BEARISH", -1.0, 0.0))


strategy = Legacy()
