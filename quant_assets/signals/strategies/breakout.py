"""Breakout: the 4h RSI breaks a trendline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from quant_assets.signals.features.bars import Bools, Floats
from quant_assets.signals.features.model import Features
from quant_assets.signals.features.tolerance import above, below
from quant_assets.signals.features.trendlines import LINE_TOLERANCE, TRIGGER_BARS
from quant_assets.signals.features.triggers import BARS_BEFORE, Trigger
from quant_assets.signals.gates import COMMON_GATES, LIMIT, Gate
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
from quant_assets.signals.sides import LONG, NONE, SIGN
from quant_assets.signals.strategy import Limits, Reads, Strategy
from quant_assets.signals.trigger_columns import TriggerColumns, breakout_verdicts, spread
from quant_assets.signals.verdict import Refusal, Verdict
from quant_assets.signals.verdict_columns import FeatureColumns, Refusals, Verdicts, signs_of, valid_setups

MAX_DISTANCE_TEXT = "Maximum distance of the price from the breakout's close, as a share of that close."
MIN_RR_TEXT = "Minimum reward / risk of a setup."
SIDE_TEXT = "LONG if RSI on 4h broke a falling resistance, SHORT if it broke a rising support."
NO_BREAKOUT = Gate(
    f"RSI must have moved more than {LINE_TOLERANCE:g} beyond a trendline in one of the last {TRIGGER_BARS} bars on 4h,"
    " and still be beyond it."
)
"""Words that Breakout and BreakoutV2 share."""
FULL_STRENGTH = 10.0
"""RSI points beyond the line with the maximum of points."""
FULL_GEOMETRY = 500.0
"""Percent × bars along the line with the maximum of points."""
EXTENSION, MAX_TARGET_ATR = 1.618, 8.0
"""Distance of the target from the breakout's close: in price ranges along the line, and its maximum in ATR."""
STOP_ATR, MAX_STOP_ATR = 0.5, 2.5
"""Distance of the stop beyond the bars before the breakout, and its maximum from the breakout's close, in ATR."""


@dataclass(frozen=True)
class Breakout(Strategy):
    """Trade a broken 4h RSI trendline; the target is the price range along the line, extended."""

    name = "Breakout"
    key = "breakout"
    description = (
        f"A 4h RSI trendline broken within the last {TRIGGER_BARS} bars: LONG above a falling resistance, SHORT below "
        "a rising support."
    )
    strategy_type = "breakout"
    max_holding_minutes = 4_800
    parts = ("geometry", "momentum", "oi_flow", "sentiment")
    max_points: ClassVar = {"geometry": 40.0, "momentum": 30.0, "oi_flow": OI_FLOW_MAX, "sentiment": SENTIMENT_MAX}
    limits: ClassVar[Limits] = {"max_distance": (0.0, 1.0), "min_rr": (0.0, 100.0)}
    steps: ClassVar = {"max_distance": 0.01, "min_rr": 0.25}
    search_ranges: ClassVar[Limits] = {"max_distance": (0.01, 0.05), "min_rr": (0.5, 3.0)}
    renamed_parameters: ClassVar = {"farthest": "max_distance", "least_rr": "min_rr"}
    reads: ClassVar[Reads] = {
        "bias": ("trigger_side",),
        "geometry": (
            "trigger_side",
            "trigger_start_close",
            "trigger_end_close",
            "trigger_start_index",
            "trigger_end_index",
        ),
        "momentum": ("trigger_side", "trigger_strength"),
        "oi_flow": OI_FLOW_READS,
        "sentiment": ("trigger_side", *SENTIMENT_READS),
        "setup": (
            "trigger_side",
            "price",
            "trigger_close",
            "trigger_atr",
            "trigger_before_low",
            "trigger_before_high",
            "trigger_line_low",
            "trigger_line_high",
        ),
        "reason": ("price", "trigger_close", "trigger_after_low", "trigger_after_high"),
    }

    max_distance: Annotated[float, MAX_DISTANCE_TEXT] = 0.03
    min_rr: Annotated[float, MIN_RR_TEXT] = 1.0

    def judge(self, features: Features) -> Verdict:
        """Score the geometry of the line and the strength of the break; a setup if no gate refuses it."""
        trigger = features.trigger
        bias = NONE if trigger is None else trigger.side
        parts = {
            "geometry": 0.0 if trigger is None else _geometry(trigger, self.max_points["geometry"]),
            "momentum": strength_score(trigger, self.max_points["momentum"]),
            "oi_flow": oi_flow(features),
            "sentiment": sentiment(features, bias),
        }
        if trigger is None:
            return Verdict.of(bias, parts, Reason.NO_BREAKOUT, None)
        sl, tp = _stop_and_target(trigger, features.price)
        setup = valid_setup(bias, features.price, sl, tp)
        return Verdict.of(bias, parts, self._reason(trigger, features.price, sl, tp, setup), setup)

    def judge_many(self, features: FeatureColumns) -> Verdicts:
        """Return the verdicts on many markets."""
        sign = signs_of(features["trigger_side"])
        (broken,) = sign.nonzero()
        t = TriggerColumns(features, broken)
        parts = {
            "geometry": spread(broken, _geometries(t, self.max_points["geometry"]), len(sign)),
            "momentum": spread(broken, strength_scores(t, self.max_points["momentum"]), len(sign)),
            "oi_flow": oi_flow_scores(features["oi_z"]),
            "sentiment": sentiment_scores(features, sign),
        }
        sl, tp = _stops_and_targets(t)
        setups = valid_setups(t.sign, t["price"], sl, tp)
        gates = Refusals(len(broken))
        refuse_moved_prices(gates, t, self.max_distance)
        gates.refuse(_are_already_hit(t, sl, tp), Reason.ALREADY_HIT)
        gates.refuse(~setups.exist, Reason.NO_VALID_SETUP)
        gates.refuse_close_stops(setups.entry, setups.sl, self.min_stop_pct)
        gates.refuse(below(setups.rr, self.min_rr), Reason.POOR_RISK_REWARD, setups.rr, self.min_rr)
        return breakout_verdicts(sign, broken, parts, setups, gates)

    def explanations(self) -> Mapping[str, str]:
        """Return how parts, side and setup are computed."""
        points = self.max_points
        return {
            "bias": SIDE_TEXT,
            "geometry": f"{points['geometry']:g} × change of the price between the line's pivots in percent × bars "
            f"between them / {FULL_GEOMETRY:g}.",
            "momentum": strength_text(points["momentum"]),
            "oi_flow": OI_FLOW_TEXT,
            "sentiment": SENTIMENT_TEXT,
            "setup": f"The stop is {STOP_ATR:g} ATR(14) beyond the low (LONG) or high (SHORT) of the {BARS_BEFORE} "
            f"bars before the breakout, at most {MAX_STOP_ATR:g} ATR from the breakout's close, and at least "
            f"{STOP_ATR:g} ATR from the price. The target is {EXTENSION:g} times the price range along the line from "
            f"the breakout's close, at most {MAX_TARGET_ATR:g} ATR.",
        }

    def gates(self) -> Mapping[str, Gate]:
        """Return the conditions of a setup."""
        return {
            Reason.NO_BREAKOUT: NO_BREAKOUT,
            Reason.PRICE_MOVED_AWAY: price_gate(self.max_distance),
            Reason.ALREADY_HIT: Gate("No 4h bar since the breakout may have touched the stop or the target."),
            Reason.NO_VALID_SETUP: COMMON_GATES[Reason.NO_VALID_SETUP],
            Reason.POOR_RISK_REWARD: rr_gate(self.min_rr),
        }

    def _reason(self, t: Trigger, price: float, sl: float, tp: float, setup: Setup | None) -> str | Refusal:
        if moved_away := refuse_moved_price(t, price, self.max_distance):
            return moved_away
        if _is_already_hit(t, sl, tp):
            return Reason.ALREADY_HIT
        if setup is None:
            return Reason.NO_VALID_SETUP
        if too_close := self.refuse_close_stop(setup.entry, setup.sl):
            return too_close
        return Refusal(Reason.POOR_RISK_REWARD, setup.rr, self.min_rr) if below(setup.rr, self.min_rr) else ""


def refuse_moved_price(trigger: Trigger, price: float, max_distance: float) -> Refusal | None:
    """Return why P is too far from the breakout's close, or None. `max_distance` is a share of that close."""
    moved = abs(price / trigger.close - 1.0)
    return Refusal(Reason.PRICE_MOVED_AWAY, moved * 100.0, max_distance * 100.0) if above(moved, max_distance) else None


def price_gate(max_distance: float) -> Gate:
    """Return the gate of `refuse_moved_price`. `max_distance` is a share of the breakout's close."""
    return Gate(f"The price must be at most {LIMIT} from the close of the breakout's bar.", max_distance * 100.0, " %")


def rr_gate(min_rr: float) -> Gate:
    """Return the gate of the minimum reward / risk."""
    return Gate(f"The target must be at least {LIMIT} times as far from the entry as the stop.", min_rr)


def strength_score(trigger: Trigger | None, max_points: float) -> float:
    """Return the score of a breakout by the distance of RSI beyond the line, 0 without a breakout."""
    return 0.0 if trigger is None else max_points * min(1.0, trigger.strength / FULL_STRENGTH)


def strength_text(max_points: float) -> str:
    """Return how `strength_score` is computed."""
    return f"{max_points:g} × points of RSI beyond the line at the breakout / {FULL_STRENGTH:g}."


def _geometry(t: Trigger, max_points: float) -> float:
    """Return the score of the line by the price change along it in percent × its bars."""
    moved_pct = abs(t.end_close / t.start_close - 1.0) * 100.0
    return max_points * min(1.0, moved_pct * (t.end_index - t.start_index) / FULL_GEOMETRY)


def _stop_and_target(t: Trigger, price: float) -> tuple[float, float]:
    sign = SIGN[t.side]
    along_line = t.close + sign * EXTENSION * (t.line_high - t.line_low)
    tp_limit = t.close + sign * MAX_TARGET_ATR * t.atr
    if t.side == LONG:
        sl = max(t.before_low - STOP_ATR * t.atr, t.close - MAX_STOP_ATR * t.atr)
        return min(sl, price - STOP_ATR * t.atr), min(along_line, tp_limit)
    sl = min(t.before_high + STOP_ATR * t.atr, t.close + MAX_STOP_ATR * t.atr)
    return max(sl, price + STOP_ATR * t.atr), max(along_line, tp_limit)


def _is_already_hit(t: Trigger, sl: float, tp: float) -> bool:
    """Return whether an HTF bar after the breakout touched the stop or the target."""
    if t.after_high is None or t.after_low is None:
        return False
    if t.side == LONG:
        return t.after_low <= sl or t.after_high >= tp
    return t.after_high >= sl or t.after_low <= tp


def refuse_moved_prices(gates: Refusals, t: TriggerColumns, max_distance: float) -> None:
    """Refuse the markets whose P is too far from the breakout's close. `max_distance` is a share of that close."""
    moved = np.abs(t["price"] / t["trigger_close"] - 1.0)
    gates.refuse(above(moved, max_distance), Reason.PRICE_MOVED_AWAY, moved * 100.0, max_distance * 100.0)


def strength_scores(t: TriggerColumns, max_points: float) -> Floats:
    """Return the scores of breakouts by the distance of RSI beyond the line."""
    found: Floats = max_points * np.minimum(1.0, t["trigger_strength"] / FULL_STRENGTH)
    return found


def _geometries(t: TriggerColumns, max_points: float) -> Floats:
    moved_pct = np.abs(t["trigger_end_close"] / t["trigger_start_close"] - 1.0) * 100.0
    bars = t["trigger_end_index"] - t["trigger_start_index"]
    found: Floats = max_points * np.minimum(1.0, moved_pct * bars / FULL_GEOMETRY)
    return found


def _stops_and_targets(t: TriggerColumns) -> tuple[Floats, Floats]:
    sign, is_long, price, close, atr = t.sign, t.is_long, t["price"], t["trigger_close"], t["trigger_atr"]
    along_line = close + sign * EXTENSION * (t["trigger_line_high"] - t["trigger_line_low"])
    tp_limit = close + sign * MAX_TARGET_ATR * atr
    sl_long = np.maximum(t["trigger_before_low"] - STOP_ATR * atr, close - MAX_STOP_ATR * atr)
    sl_short = np.minimum(t["trigger_before_high"] + STOP_ATR * atr, close + MAX_STOP_ATR * atr)
    return (
        np.where(is_long, np.minimum(sl_long, price - STOP_ATR * atr), np.maximum(sl_short, price + STOP_ATR * atr)),
        np.where(is_long, np.minimum(along_line, tp_limit), np.maximum(along_line, tp_limit)),
    )


def _are_already_hit(t: TriggerColumns, sl: Floats, tp: Floats) -> Bools:
    high, low = t["trigger_after_high"], t["trigger_after_low"]
    hit: Bools = np.where(t.is_long, (low <= sl) | (high >= tp), (high >= sl) | (low <= tp))
    return hit


strategy = Breakout()
