"""Breakout: the 4h RSI breaks a trendline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from quant_assets.signals.features.model import Features
from quant_assets.signals.features.tolerance import above, below
from quant_assets.signals.features.triggers import Trigger
from quant_assets.signals.reasons import Reason
from quant_assets.signals.scores import OI_FLOW_MAX, OI_FLOW_READS, SENTIMENT_MAX, SENTIMENT_READS, oi_flow, sentiment
from quant_assets.signals.setups import Setup, valid_setup
from quant_assets.signals.sides import LONG, NONE, SIGN
from quant_assets.signals.strategy import Limits, Reads, Strategy
from quant_assets.signals.verdict import Refusal, Verdict


@dataclass(frozen=True)
class Breakout(Strategy):
    """Trade a broken 4h RSI trendline; the target is the price range along the line, extended."""

    name = "Breakout"
    key = "breakout"
    description = (
        "A 4h RSI trendline broken within the last three bars: LONG above a falling resistance, SHORT below a rising "
        "support. The target is 1.618 times the range of the bars along the line."
    )
    strategy_type = "breakout"
    parts = ("geometry", "momentum", "oi_flow", "sentiment")
    max_points: ClassVar = {"geometry": 40.0, "momentum": 30.0, "oi_flow": OI_FLOW_MAX, "sentiment": SENTIMENT_MAX}
    limits: ClassVar[Limits] = {"max_distance": (0.0, 1.0), "min_rr": (0.0, 100.0)}
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

    max_distance: float = 0.03
    """Largest distance of the price from the breakout's close, as a share of that close."""
    min_rr: float = 1.0
    """Smallest reward / risk of a setup."""

    def judge(self, features: Features) -> Verdict:
        """Score the geometry of the line and the strength of the break; a setup if no gate refuses it."""
        trigger = features.trigger
        bias = NONE if trigger is None else trigger.side
        parts = {
            "geometry": 0.0 if trigger is None else _geometry(trigger),
            "momentum": 0.0 if trigger is None else 30.0 * min(1.0, trigger.strength / 10.0),
            "oi_flow": oi_flow(features),
            "sentiment": sentiment(features, bias),
        }
        if trigger is None:
            return Verdict.of(bias, parts, Reason.NO_BREAKOUT, None)
        sl, tp = _stop_and_target(trigger, features.price)
        setup = valid_setup(bias, features.price, sl, tp)
        return Verdict.of(bias, parts, self._reason(trigger, features.price, sl, tp, setup), setup)

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


def _geometry(t: Trigger) -> float:
    """Return the score of the line: 40 × (price change along it in percent × bars / 500), at most 40."""
    moved_pct = abs(t.end_close / t.start_close - 1.0) * 100.0
    return 40.0 * min(1.0, moved_pct * (t.end_index - t.start_index) / 500.0)


def _stop_and_target(t: Trigger, price: float) -> tuple[float, float]:
    sign = SIGN[t.side]
    along_line = t.close + sign * 1.618 * (t.line_high - t.line_low)
    tp_limit = t.close + sign * 8.0 * t.atr
    if t.side == LONG:
        sl = max(t.before_low - 0.5 * t.atr, t.close - 2.5 * t.atr)
        return min(sl, price - 0.5 * t.atr), min(along_line, tp_limit)
    sl = min(t.before_high + 0.5 * t.atr, t.close + 2.5 * t.atr)
    return max(sl, price + 0.5 * t.atr), max(along_line, tp_limit)


def _is_already_hit(t: Trigger, sl: float, tp: float) -> bool:
    """Return whether an HTF bar after the breakout touched the stop or the target."""
    if t.after_high is None or t.after_low is None:
        return False
    if t.side == LONG:
        return t.after_low <= sl or t.after_high >= tp
    return t.after_high >= sl or t.after_low <= tp


strategy = Breakout()
