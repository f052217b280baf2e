"""Explanations of scores, reasons and data sources in plain English.

Parts and reasons of third-party strategies have no explanation here; they are shown by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from quant_assets.common.timeframes import HTF, LTF
from quant_assets.dashboard.formatting import number, signed
from quant_assets.derivatives.funding import rate_for_8_hours
from quant_assets.feed.reasons import ReasonNumbers, reason_numbers, reason_summary
from quant_assets.signals import PENALTY, SUMS
from quant_assets.signals.features.candle_features import MAX_AGE_MS, MIN_BARS, OBV_SLOPE_BARS
from quant_assets.signals.features.trendlines import LINE_TOLERANCE, TRIGGER_BARS
from quant_assets.signals.strategies.breakout import Breakout
from quant_assets.signals.strategies.breakout_v2 import ALLOWED, BEST, BreakoutV2
from quant_assets.signals.strategies.legacy import Legacy

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ScorePart:
    """One line of a score's explanation; `max_points` is None for a part of a third-party strategy."""

    name: str
    colour: str
    title: str
    points: float
    max_points: float | None
    explanation: str


def _insufficient_history(numbers: ReasonNumbers | None) -> str:
    if numbers is not None and numbers.value == "0":
        return f"There is no closed bar on 15m, or none on 4h; {MIN_BARS} are needed on each."
    have = "Too few closed bars" if numbers is None else f"Only {numbers.value} closed bars"
    return f"{have} on 15m or on 4h; {MIN_BARS} are needed on each."


def _stale_candles(_: ReasonNumbers | None) -> str:
    minutes, hours = MAX_AGE_MS[LTF] / 60_000, MAX_AGE_MS[HTF] / 3_600_000
    return f"The last candle is too old: more than {minutes:g} minutes on 15m, or more than {hours:g} hours on 4h."


def _score_below_threshold(numbers: ReasonNumbers | None) -> str:
    detail = "" if numbers is None else f": {numbers.value}, and {numbers.bound} is needed"
    return f"There is a trend, but the score is below the strategy's threshold{detail}."


def _price_moved_away(numbers: ReasonNumbers | None) -> str:
    distance = "too far" if numbers is None else numbers.value
    limit = "" if numbers is None else f"; the limit is {numbers.bound}"
    return f"RSI broke out, but the price is already {distance} from the close of the breakout bar{limit}."


def _stop_too_close(numbers: ReasonNumbers | None) -> str:
    detail = "" if numbers is None else f": {numbers.value}, and at least {numbers.bound} is needed"
    return f"The stop is so close to the entry that costs would eat the profit{detail}."


def _poor_risk_reward(numbers: ReasonNumbers | None) -> str:
    if numbers is None:
        return "The target is too close to the entry for the distance of the stop, or there is no target."
    return f"The target is {numbers.value} times as far from the entry as the stop; at least {numbers.bound} is needed."


def _oi_z_score_too_low(numbers: ReasonNumbers | None) -> str:
    detail = "" if numbers is None else f": its z-score is {numbers.value}, and more than {numbers.bound} is needed"
    return f"RSI broke out, but open interest is not unusually high{detail}."


def _outside_range(numbers: ReasonNumbers | None) -> str:
    detail = "" if numbers is None else f": it is {numbers.value}, and the limit is {numbers.bound}"
    return f"RSI broke out, but has little room left to move{detail}."


def fixed_text(text: str) -> Callable[[ReasonNumbers | None], str]:
    """Return an explanation that does not depend on numbers."""
    return lambda _: text


REASONS: Final[Mapping[str, Callable[[ReasonNumbers | None], str]]] = {
    "insufficient_history": _insufficient_history,
    "stale_candles": _stale_candles,
    "no_trend": fixed_text("No trend: close, EMA50 and EMA200 are neither in rising nor in falling order."),
    "score_below_threshold": _score_below_threshold,
    "no_valid_setup": fixed_text("There is no valid trade: entry, stop and target are not in order."),
    "stop_too_close": _stop_too_close,
    "no_breakout": fixed_text(
        f"In none of the last {TRIGGER_BARS} bars on 4h did RSI move more than {LINE_TOLERANCE:g} beyond a trendline."
    ),
    "price_moved_away": _price_moved_away,
    "already_hit": fixed_text("RSI broke out, but a later 4h bar has already hit the stop or the target."),
    "poor_risk_reward": _poor_risk_reward,
    "oi_z_score_too_low": _oi_z_score_too_low,
    "obv_against": fixed_text(
        f"RSI broke out, but on-balance volume of the last {OBV_SLOPE_BARS} bars on 15m does not move the same way."
    ),
    "outside_range": _outside_range,
    "strategy_failed": fixed_text("The strategy raised an error on this market: see the run's log in Dagster."),
}

TIERS: Final[Mapping[str, str]] = {
    "resolved": "resolved: data of the market's own exchange",
    "aggregated": "aggregated: data of the best market on a reference exchange",
    "neutral": "neutral: no data, so the score is the neutral value",
}

UNITS: Final = {"BASE_ASSET": "of the base asset", "QUOTE_ASSET": "of the quote asset", "USD": "US dollars"}


def funding_text(funding: Json | None) -> str | None:
    """Format a funding rate with its interval, like +0.0044 % / 8h; without the interval if it is unknown."""
    if funding is None:
        return None
    hours = funding.get("interval_hours")
    return f"{signed(funding['value'], 4, ' %')}{'' if hours is None else f' / {hours:g}h'}"


def funding_for_8_hours(funding: Json) -> float:
    """Return a funding rate converted to 8 hours, in percent; an unknown interval counts as 8 hours."""
    return rate_for_8_hours(funding["value"], funding.get("interval_hours"))


def conflict_text(setups: Sequence[Json] | None) -> str | None:
    """List the setups of the opposite side; None if there are none."""
    if not setups:
        return None
    names = (f"{s['side']} {s['symbol']} on {s['exchange']} ({s['strategy_name']})" for s in setups)
    return f"Opposite setups on this asset: {', '.join(names)}"


def explain_reason(details: Json) -> str:
    """Explain why a strategy waits; a third-party strategy's reason is returned with spaces for underscores."""
    reason = details["reason"]
    return REASONS[reason](reason_numbers(details)) if reason in REASONS else reason_summary(details)


def explain_score(signal: Json) -> list[ScorePart]:
    """Explain a score part by part, in the order of the feed."""
    parts = []
    for index, (name, points) in enumerate(signal["details"]["score_breakdown"].items()):
        if name not in SUMS:
            title, explain = _PARTS.get(name, (name.replace("_", " "), lambda _: ""))
            colour = part_colour(name, index)
            parts.append(ScorePart(name, colour, title, points, max_points_of(name), explain(signal)))
    return parts


def part_colour(name: str, index: int) -> str:
    """Return the colour key of a part: its name, or p0 to p5 by position for a third-party strategy's part."""
    return name if max_points_of(name) is not None else f"p{index % 6}"


def max_points_of(name: str) -> float | None:
    """Return the maximum points of a part; None for a part of a third-party strategy."""
    return _MAX_POINTS.get(name)


def _trend(s: Json) -> str:
    if s["bias"] == "NONE":
        return "No trend, no points."
    adx = s["observability"]["score_composition"].get("adx")
    strength = "unknown" if adx is None else f"{adx:.1f}"
    return f"A {s['bias']} trend gives 15 points, or 25 if ADX on 4h is above 25; ADX is {strength}."


def _structure(s: Json) -> str:
    if s["bias"] == "NONE":
        return "A pullback needs a trend."
    depth = s["ltf"]["pullbackDepth"]
    if not depth:  # the feed has 0 also where there is no range
        return "No pullback: price is at the end of its range of 60 bars on 15m, or has no range."
    found = "In a pullback" if s["ltf"]["isPullback"] else "No pullback"
    return f"{found}: {depth * 100:.0f} % of the range of 60 bars on 15m; 30 to 80 % counts."


def _money_flow(s: Json) -> str:
    imbalance = s["ltf"]["obvImbalance"]
    if imbalance == "NEUTRAL" or s["bias"] == "NONE":
        return f"On-balance volume against price: {imbalance.lower()}; 10 points is the neutral value."
    agrees = (imbalance == "BULLISH") == (s["bias"] == "LONG")
    return f"On-balance volume against price: {imbalance.lower()}, {'with' if agrees else 'against'} the trend."


def _timing(s: Json) -> str:
    quiet = "quiet" if s["ltf"]["volumeOk"] else "not quiet"
    return f"Volume is {quiet}; a pullback on quiet volume gives 5 points."


def _oi_flow(s: Json) -> str:
    z = s["observability"]["score_composition"].get("oi_z_score")
    if z is None:
        return "Open interest has no z-score (unknown, too short, flat or too old); 10 points is the neutral value."
    return f"Open interest is {signed(z, 2)} standard deviations from its mean: 10 + z × 10/3, limited to 0–20."


def _sentiment(s: Json) -> str:
    funding, ratio = s["derivatives"]["funding_rate"], s["derivatives"]["long_short_ratio"]
    values = [
        "funding is unknown"
        if funding is None
        else f"funding is {signed(funding_for_8_hours(funding), 4, ' %')} for 8 hours",
        "long/short is unknown" if ratio is None else f"long/short is {number(ratio['value'])}",
    ]
    neutral = " Without a bias it stays at 5." if s["bias"] == "NONE" else ""
    return f"5 points is neutral, a crowded side loses points: {', '.join(values)}.{neutral}"


def _penalty(s: Json) -> str:
    against = s["ltf"]["divergence"]
    diverges = (s["bias"], against) in {("LONG", "BEARISH"), ("SHORT", "BULLISH")}
    position = "outside" if s["ltf"]["isOverextended"] else "inside"
    divergence = "Divergence" if diverges else "No divergence"
    return f"{divergence} against the trend; price {position} its Bollinger bands. Each costs 10 points."


def _range(s: Json) -> str:
    if s["bias"] == "NONE":
        return "No breakout, so no side to measure the room of."
    rsi = s["observability"]["score_composition"].get("rsi")
    best, allowed = (f"{low:g}–{high:g}" for low, high in (BEST[s["bias"]], ALLOWED[s["bias"]]))
    return f"RSI on 4h is {number(rsi, 1) or 'unknown'}: 20 points within {best}, 10 in the rest of {allowed}."


def _obv(s: Json) -> str:
    passed = s["observability"]["score_composition"]["filters_passed"].get("obv_slope")
    result = {True: "moves the same way", False: "does not move the same way", None: "was not checked: no breakout"}
    return f"On-balance volume of the last {OBV_SLOPE_BARS} bars on 15m {result[passed]}."


def _breakout(s: Json) -> str:
    return _without_breakout(s) or "How far RSI moved beyond the broken line; 10 points of RSI give the maximum."


def _risk_reward(s: Json) -> str:
    return _without_breakout(s) or "15 points for a reward of three times the risk, 10 for twice the risk."


def _geometry(s: Json) -> str:
    return _without_breakout(s) or "How far and for how long price moved between the pivots of the broken line."


def _momentum(s: Json) -> str:
    return _without_breakout(s) or "How far RSI moved beyond the broken line; 10 points of RSI give the maximum."


def _without_breakout(s: Json) -> str:
    return "No breakout, no points." if s["bias"] == "NONE" else ""


_PARTS: Final[Mapping[str, tuple[str, Callable[[Json], str]]]] = {
    "trend": ("Trend", _trend),
    "structure": ("Structure", _structure),
    "money_flow": ("Money flow", _money_flow),
    "timing": ("Timing", _timing),
    "geometry": ("Geometry", _geometry),
    "momentum": ("Momentum", _momentum),
    "range": ("Range", _range),
    "oi_flow": ("Open-interest flow", _oi_flow),
    "obv": ("On-balance volume", _obv),
    "breakout": ("Breakout", _breakout),
    "risk_reward": ("Risk and reward", _risk_reward),
    "sentiment": ("Sentiment", _sentiment),
    PENALTY: ("Penalty", _penalty),
}
#: Maximum points by part, as declared by the built-in strategies.
_MAX_POINTS: Final[Mapping[str, float]] = {**Legacy.max_points, **Breakout.max_points, **BreakoutV2.max_points}
