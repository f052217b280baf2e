"""BreakoutV2: a broken 4h RSI trendline, confirmed by open interest, OBV and RSI."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from quant_assets.signals.features.bars import Bools, Floats
from quant_assets.signals.features.candle_features import OBV_SLOPE_BARS
from quant_assets.signals.features.model import OI_Z_VALID, Features
from quant_assets.signals.features.tolerance import above, below, within
from quant_assets.signals.features.triggers import Trigger
from quant_assets.signals.gates import LIMIT, Gate
from quant_assets.signals.reasons import Reason
from quant_assets.signals.score_columns import oi_flow_scores, sentiment_scores
from quant_assets.signals.scores import (
    OI_FLOW_MAX,
    OI_FLOW_READS,
    OI_FLOW_TEXT,
    SENTIMENT_MAX,
    SENTIMENT_READS,
    SENTIMENT_TEXT,
    oi_flow,
    sentiment,
)
from quant_assets.signals.setups import Setup, valid_setup
from quant_assets.signals.sides import LONG, NONE, SHORT, SIGN
from quant_assets.signals.strategies.breakout import (
    MAX_DISTANCE_TEXT,
    MIN_RR_TEXT,
    NO_BREAKOUT,
    SIDE_TEXT,
    price_gate,
    refuse_moved_price,
    refuse_moved_prices,
    rr_gate,
    strength_score,
    strength_scores,
    strength_text,
)
from quant_assets.signals.strategy import Limits, Reads, Strategy
from quant_assets.signals.trigger_columns import TriggerColumns, breakout_verdicts, spread
from quant_assets.signals.verdict import Refusal, Verdict
from quant_assets.signals.verdict_columns import FeatureColumns, Refusals, Setups, Verdicts, signs_of, valid_setups

ALLOWED: Mapping[str, tuple[float, float]] = {LONG: (40.0, 80.0), SHORT: (20.0, 60.0)}
"""Side → range of the last HTF RSI in which a setup is allowed, bounds included."""
BEST: Mapping[str, tuple[float, float]] = {LONG: (50.0, 70.0), SHORT: (30.0, 50.0)}
"""Side → range of the last HTF RSI with the most points."""
REST_OF_RANGE = 10.0
"""Points within ALLOWED, but not within BEST."""
GOOD_RR, BEST_RR, GOOD_RR_POINTS = 2.0, 3.0, 10.0
"""Reward / risk from which a setup scores GOOD_RR_POINTS, and from which it scores the maximum."""
SETUP_READS = ("trigger_side", "price", "htf_atr", "trigger_leg_high", "trigger_leg_low")


@dataclass(frozen=True)
class BreakoutV2(Strategy):
    """Trade a confirmed break of a 4h RSI trendline; the target is one leg beyond the leg after the line."""

    name = "BreakoutV2"
    key = "breakout_v2"
    description = (
        "The breakout of a 4h RSI trendline, only if open interest is unusually high (or unknown), OBV has the same "
        "direction, RSI is not overbought or oversold, and the reward is worth the risk."
    )
    strategy_type = "breakout"
    max_holding_minutes = 4_800
    parts = ("range", "oi_flow", "obv", "breakout", "risk_reward", "sentiment")
    filters = ("oi_zscore", "obv_slope")
    max_points: ClassVar = {
        "range": 20.0,
        "oi_flow": OI_FLOW_MAX,
        "obv": 15.0,
        "breakout": 20.0,
        "risk_reward": 15.0,
        "sentiment": SENTIMENT_MAX,
    }
    limits: ClassVar[Limits] = {"max_distance": (0.0, 1.0), "min_rr": (0.0, 100.0), "stop_atr": (0.1, 100.0)}
    steps: ClassVar = {"max_distance": 0.01, "min_rr": 0.25, "stop_atr": 0.25}
    search_ranges: ClassVar[Limits] = {"max_distance": (0.01, 0.05), "min_rr": (1.0, 4.0), "stop_atr": (1.0, 5.0)}
    renamed_parameters: ClassVar = {"farthest": "max_distance", "least_rr": "min_rr"}
    reads: ClassVar[Reads] = {
        "bias": ("trigger_side",),
        "range": ("trigger_side", "htf_rsi"),
        "oi_flow": OI_FLOW_READS,
        "obv": ("trigger_side", "obv_slope"),
        "breakout": ("trigger_side", "trigger_strength"),
        "risk_reward": SETUP_READS,
        "sentiment": ("trigger_side", *SENTIMENT_READS),
        "oi_zscore": OI_FLOW_READS,
        "obv_slope": ("trigger_side", "obv_slope"),
        "setup": SETUP_READS,
        "reason": ("price", "trigger_close", "htf_rsi"),
    }

    max_distance: Annotated[float, MAX_DISTANCE_TEXT] = 0.03
    min_rr: Annotated[float, MIN_RR_TEXT] = 2.0
    stop_atr: Annotated[float, "Distance of the stop from the price, in ATR(14) of the last 4h bar."] = 3.0

    def judge(self, features: Features) -> Verdict:
        """Score the breakout and its confirmations; a setup if no gate refuses it."""
        trigger = features.trigger
        bias = NONE if trigger is None else trigger.side
        setup = None if trigger is None else self._setup(features, trigger)
        filters = {
            "oi_zscore": None if features.oi_z is None else features.oi_z_is_valid,
            "obv_slope": None if trigger is None else _is_obv_aligned(features, bias),
        }
        parts = {
            "range": self._range_score(features.htf_rsi, bias),
            "oi_flow": oi_flow(features),
            "obv": self.max_points["obv"] if filters["obv_slope"] else 0.0,
            "breakout": strength_score(trigger, self.max_points["breakout"]),
            "risk_reward": self._rr_score(setup),
            "sentiment": sentiment(features, bias),
        }
        reason = Reason.NO_BREAKOUT if trigger is None else next(self._refusals(features, trigger, setup, filters), "")
        return Verdict.of(bias, parts, reason, setup, filters)

    def judge_many(self, features: FeatureColumns) -> Verdicts:
        """Return the verdicts on many markets."""
        sign = signs_of(features["trigger_side"])
        (broken,) = sign.nonzero()
        t = TriggerColumns(features, broken)
        is_aligned, rsi, setups = t["obv_slope"] * t.sign > 0.0, t["htf_rsi"], self._setups(t)
        rr_points = np.where(below(setups.rr, BEST_RR), GOOD_RR_POINTS, self.max_points["risk_reward"])
        parts = {
            "range": spread(broken, self._range_scores(t, rsi), len(sign)),
            "oi_flow": oi_flow_scores(features["oi_z"]),
            "obv": spread(broken, np.where(is_aligned, self.max_points["obv"], 0.0), len(sign)),
            "breakout": spread(broken, strength_scores(t, self.max_points["breakout"]), len(sign)),
            "risk_reward": spread(
                broken, np.where(setups.exist & ~below(setups.rr, GOOD_RR), rr_points, 0.0), len(sign)
            ),
            "sentiment": sentiment_scores(features, sign),
        }
        oi_z = features["oi_z"]
        oi_filter = above(oi_z, OI_Z_VALID).astype(object)
        oi_filter[np.isnan(oi_z)] = None
        obv_filter = np.full(len(sign), None, dtype=object)
        obv_filter[broken] = is_aligned
        gates = self._gate_columns(t, rsi, is_aligned, setups)
        return breakout_verdicts(sign, broken, parts, setups, gates, {"oi_zscore": oi_filter, "obv_slope": obv_filter})

    def _gate_columns(self, t: TriggerColumns, rsi: Floats, is_aligned: Bools, setups: Setups) -> Refusals:
        """Return the refusals of the gates, in their order."""
        lowest, highest = _bounds(ALLOWED, t)
        oi_z = t["oi_z"]
        gates = Refusals(len(rsi))
        refuse_moved_prices(gates, t, self.max_distance)
        gates.refuse(~np.isnan(oi_z) & ~above(oi_z, OI_Z_VALID), Reason.OI_Z_SCORE_TOO_LOW, oi_z, OI_Z_VALID)
        gates.refuse(~is_aligned, Reason.OBV_AGAINST)
        gates.refuse(
            ~_are_within(rsi, lowest, highest), Reason.OUTSIDE_RANGE, rsi, np.where(rsi > highest, highest, lowest)
        )
        gates.refuse_close_stops(t["price"], self._stops(t), self.min_stop_pct)
        is_poor = ~setups.exist | below(setups.rr, self.min_rr)
        gates.refuse(is_poor, Reason.POOR_RISK_REWARD, setups.rr, self.min_rr)
        return gates

    def _range_scores(self, t: TriggerColumns, rsi: Floats) -> Floats:
        points = np.where(_are_within(rsi, *_bounds(BEST, t)), self.max_points["range"], REST_OF_RANGE)
        return np.where(_are_within(rsi, *_bounds(ALLOWED, t)), points, 0.0)

    def _stops(self, t: TriggerColumns) -> Floats:
        found: Floats = t["price"] - t.sign * self.stop_atr * t["htf_atr"]
        return found

    def _setups(self, t: TriggerColumns) -> Setups:
        high, low = t["trigger_leg_high"], t["trigger_leg_low"]
        leg = high - low
        return valid_setups(t.sign, t["price"], self._stops(t), np.where(t.is_long, high + leg, low - leg))

    def _refusals(
        self, f: Features, trigger: Trigger, setup: Setup | None, filters: dict[str, bool | None]
    ) -> Iterator[str | Refusal]:
        """Yield the refusals of the gates, in their order."""
        if moved_away := refuse_moved_price(trigger, f.price, self.max_distance):
            yield moved_away
        if filters["oi_zscore"] is False:
            yield Refusal(Reason.OI_Z_SCORE_TOO_LOW, f.oi_z, OI_Z_VALID)
        if not filters["obv_slope"]:
            yield Reason.OBV_AGAINST
        lowest, highest = ALLOWED[trigger.side]
        if f.htf_rsi is None or not within(f.htf_rsi, lowest, highest):
            yield Refusal(Reason.OUTSIDE_RANGE, f.htf_rsi, highest if f.htf_rsi and f.htf_rsi > highest else lowest)
        sl = self._stop(f, trigger)
        if sl is not None and (too_close := self.refuse_close_stop(f.price, sl)):
            yield too_close
        if setup is None or below(setup.rr, self.min_rr):
            yield Refusal(Reason.POOR_RISK_REWARD, None if setup is None else setup.rr, self.min_rr)

    def explanations(self) -> Mapping[str, str]:
        """Return how parts, filters, side and setup are computed."""
        points, gates = self.max_points, self.gates()
        return {
            "bias": SIDE_TEXT,
            "range": f"{points['range']:g} if RSI on 4h is within {_ranges(BEST)}, {REST_OF_RANGE:g} in the rest of "
            f"{_ranges(ALLOWED)}.",
            "oi_flow": OI_FLOW_TEXT,
            "obv": f"{points['obv']:g} if OBV of the last {OBV_SLOPE_BARS} bars on 15m moves in the direction of the "
            "side.",
            "breakout": strength_text(points["breakout"]),
            "risk_reward": f"{points['risk_reward']:g} if the target is at least {BEST_RR:g} times as far as the stop, "
            f"{GOOD_RR_POINTS:g} if at least {GOOD_RR:g} times.",
            "sentiment": SENTIMENT_TEXT,
            "oi_zscore": gates[Reason.OI_Z_SCORE_TOO_LOW].sentence(),
            "obv_slope": gates[Reason.OBV_AGAINST].sentence(),
            "setup": f"The stop is {self.stop_atr:g} ATR(14) of the last 4h bar from the price. The target is beyond "
            "the high (LONG) or low (SHORT) between the line's second pivot and the breakout, by the price range of "
            "these bars.",
        }

    def gates(self) -> Mapping[str, Gate]:
        """Return the conditions of a setup."""
        return {
            Reason.NO_BREAKOUT: NO_BREAKOUT,
            Reason.PRICE_MOVED_AWAY: price_gate(self.max_distance),
            Reason.OI_Z_SCORE_TOO_LOW: Gate(
                f"The z-score of open interest must be above {LIMIT}, or unknown.", OI_Z_VALID
            ),
            Reason.OBV_AGAINST: Gate(
                f"OBV of the last {OBV_SLOPE_BARS} bars on 15m must move in the direction of the side."
            ),
            Reason.OUTSIDE_RANGE: Gate(f"RSI on 4h must be within {_ranges(ALLOWED)}."),
            Reason.POOR_RISK_REWARD: rr_gate(self.min_rr),
        }

    def _range_score(self, rsi: float | None, bias: str) -> float:
        if rsi is None or bias == NONE or not within(rsi, *ALLOWED[bias]):
            return 0.0
        return float(self.max_points["range"]) if within(rsi, *BEST[bias]) else REST_OF_RANGE

    def _rr_score(self, setup: Setup | None) -> float:
        if setup is None or below(setup.rr, GOOD_RR):
            return 0.0
        return GOOD_RR_POINTS if below(setup.rr, BEST_RR) else float(self.max_points["risk_reward"])

    def _stop(self, f: Features, t: Trigger) -> float | None:
        return None if f.htf_atr is None else f.price - SIGN[t.side] * self.stop_atr * f.htf_atr

    def _setup(self, f: Features, t: Trigger) -> Setup | None:
        sl = self._stop(f, t)
        if sl is None:
            return None
        leg = t.leg_high - t.leg_low
        return valid_setup(t.side, f.price, sl, t.leg_high + leg if t.side == LONG else t.leg_low - leg)


def _is_obv_aligned(features: Features, side: str) -> bool:
    return features.obv_slope is not None and features.obv_slope * SIGN[side] > 0.0


def _bounds(by_side: Mapping[str, tuple[float, float]], t: TriggerColumns) -> tuple[Floats, Floats]:
    """Return the lower and the upper bound of each market's range by its side."""
    lowest, highest = (
        np.where(t.is_long, long, short) for long, short in zip(by_side[LONG], by_side[SHORT], strict=True)
    )
    return lowest, highest


def _are_within(values: Floats, lowest: Floats, highest: Floats) -> Bools:
    """Return which values are known and in the range, bounds included."""
    found: Bools = ~np.isnan(values) & ~below(values, lowest) & ~above(values, highest)
    return found


def _ranges(by_side: Mapping[str, tuple[float, float]]) -> str:
    return " or ".join(f"{low:g}–{high:g} ({side})" for side, (low, high) in by_side.items())


strategy = BreakoutV2()
