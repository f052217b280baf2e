"""What a score, a reason and a source mean, in words.

Here: for each part of a score its most points and why it has those it has, from the signal itself; the reasons to
wait; and the three tiers of resolution. A strategy that came from elsewhere has parts without words of ours: they are
shown by name. Not here: numbers to text (figures.py), HTML (templates/).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from quant_assets.dashboard.figures import number, signed

Json = Mapping[str, Any]
PENALTY: Final = "penalty"


@dataclass(frozen=True, slots=True)
class Part:
    """One line of a score's explanation; `most` is None for a part that nobody told us about."""

    name: str
    colour: str
    title: str
    points: float
    most: float | None
    words: str


REASONS: Final[Mapping[str, str]] = {
    "insufficient_history": "Fewer than 50 closed bars on 15m or on 4h: too little to judge the market.",
    "stale_candles": "The last candle is too old: on 15m by more than an hour, or on 4h by more than eight.",
    "no_trend": "No trend: the close is not above EMA50 and that above EMA200, nor below in the same order.",
    "score_below_threshold": "There is a trend, but the score is below the strategy's threshold (70 unless changed).",
    "no_valid_setup": "Entry, stop and target do not stand in order, so there is no trade to describe.",
    "no_breakout": "None of the last three 4h bars took RSI more than one point beyond a standing trendline.",
    "price_moved_away": "RSI broke out, but price is already more than 3 % from the close of that bar.",
    "already_hit": "RSI broke out, but a later 4h bar has touched the stop or the target already.",
    "poor_risk_reward": "The way to the target is too short for the way to the stop.",
    "oi_z_score_too_low": "RSI broke out, but open interest is not unusually high: its z-score is 1.5 or less.",
    "obv_against": "RSI broke out, but on-balance volume of the last 14 bars on 15m does not run the same way.",
    "outside_range": "RSI broke out, but stands where little room is left: outside 40–80 for LONG, 20–60 for SHORT.",
    "strategy_failed": "The strategy failed on this market; the run's log in Dagster says why.",
}

TIERS: Final[Mapping[str, str]] = {
    "resolved": "resolved: the market's own exchange",
    "aggregated": "aggregated: the best market of a reference exchange stands in",
    "neutral": "neutral: no market serves it, so it is scored in the middle",
}


def reason_words(reason: str | None) -> str:
    """Say why a strategy waits; a reason of a foreign strategy is given as it is, without underscores."""
    return "" if reason is None else REASONS.get(reason, reason.replace("_", " "))


def explained(signal: Json) -> list[Part]:
    """Explain a score part by part, in the order of the feed."""
    parts = []
    for index, (name, points) in enumerate(signal["details"]["score_breakdown"].items()):
        if name != "total":
            title, most, words = _PARTS.get(name, (name.replace("_", " "), None, lambda _: ""))
            parts.append(Part(name, colour_of(name, index), title, points, most, words(signal)))
    return parts


def colour_of(name: str, index: int) -> str:
    """Return what the page's colour of a part goes by: its name where there is one, else its place, p0 to p5."""
    return name if most_points(name) is not None else f"p{index % 6}"


def most_points(name: str) -> float | None:
    """Return the most points that a part can have; None for a part of a foreign strategy."""
    return _PARTS[name][1] if name in _PARTS else None


def _trend(s: Json) -> str:
    if s["bias"] == "NONE":
        return "No trend, no points."
    adx = s["observability"]["score_composition"]["adx"]
    strength = "it is unknown" if adx is None else f"it is {adx:.1f}"
    return f"A trend for {s['bias']} gives 15, and 25 where ADX on 4h is above 25: {strength}."


def _structure(s: Json) -> str:
    if s["bias"] == "NONE":
        return "A pullback needs a trend."
    depth = s["ltf"]["pullbackDepth"]
    if not depth:  # the feed says 0 where there is no range too
        return "No pullback: price stands at the end of its range of 60 bars on 15m, or has none."
    inside = "in a pullback" if s["ltf"]["isPullback"] else "no pullback"
    share = f"{depth * 100:.0f} %"
    return f"{inside[:1].upper()}{inside[1:]}: {share} of the range of 60 bars on 15m, where 30 to 80 % count."


def _money_flow(s: Json) -> str:
    imbalance = s["ltf"]["obvImbalance"]
    if imbalance == "NEUTRAL" or s["bias"] == "NONE":
        return f"On-balance volume against price: {imbalance.lower()}; ten is the middle."
    agrees = (imbalance == "BULLISH") == (s["bias"] == "LONG")
    return f"On-balance volume against price: {imbalance.lower()}, {'with' if agrees else 'against'} the trend."


def _timing(s: Json) -> str:
    quiet = "quiet" if s["ltf"]["volumeOk"] else "not quiet"
    return f"Volume is {quiet}; five points for a pullback on quiet volume."


def _oi_flow(s: Json) -> str:
    z = s["observability"]["score_composition"]["oi_z_score"]
    if z is None:
        return "Open interest has no z-score: unknown, too short, flat or too old. Ten is the middle."
    return f"Open interest stands {signed(z, 2)} deviations from its mean: 10 + z × 10/3, kept to 0–20."


def _sentiment(s: Json) -> str:
    funding, ratio = s["derivatives"]["funding_rate"], s["derivatives"]["long_short_ratio"]
    told = [
        "funding is unknown" if funding is None else f"funding is {signed(funding['value'], 4, ' %')}",
        "long/short is unknown" if ratio is None else f"long/short is {number(ratio['value'])}",
    ]
    middle = " Without a side it stays at 5." if s["bias"] == "NONE" else ""
    return f"Five is the middle, a crowded side counts against itself: {', '.join(told)}.{middle}"


def _penalty(s: Json) -> str:
    against = s["ltf"]["divergence"]
    diverges = (s["bias"], against) in {("LONG", "BEARISH"), ("SHORT", "BULLISH")}
    stretched = "beyond its Bollinger band" if s["ltf"]["isOverextended"] else "within its Bollinger bands"
    return f"Divergence {'against' if diverges else 'not against'} the trend; price {stretched}. Ten off for each."


def _range(s: Json) -> str:
    if s["bias"] == "NONE":
        return "Without a breakout there is no side to have room on."
    rsi = s["observability"]["score_composition"]["rsi"]
    best = "50–70" if s["bias"] == "LONG" else "30–50"
    return f"RSI on 4h is {number(rsi, 1) or 'unknown'}: twenty within {best}, ten in the rest of the allowed range."


def _obv(s: Json) -> str:
    passed = s["observability"]["score_composition"]["filters_passed"]["obv_slope"]
    says = {True: "runs the same way", False: "does not run the same way", None: "was not looked at: no breakout"}
    return f"On-balance volume of the last 14 bars on 15m {says[passed]}."


def _breakout(s: Json) -> str:
    return _none(s) or "How far RSI went beyond the broken line: ten points of RSI give all twenty."


def _risk_reward(s: Json) -> str:
    return _none(s) or "Fifteen for three times the risk as reward, ten for twice."


def _geometry(s: Json) -> str:
    return _none(s) or "How far and how long price ran between the pivots of the broken line."


def _momentum(s: Json) -> str:
    return _none(s) or "How far RSI went beyond the broken line: ten points of RSI give all thirty."


def _none(s: Json) -> str:
    return "No breakout, no points." if s["bias"] == "NONE" else ""


_PARTS: Final[Mapping[str, tuple[str, float, Callable[[Json], str]]]] = {
    "trend": ("Trend", 25, _trend),
    "structure": ("Structure", 20, _structure),
    "money_flow": ("Money flow", 20, _money_flow),
    "timing": ("Timing", 5, _timing),
    "geometry": ("Geometry", 40, _geometry),
    "momentum": ("Momentum", 30, _momentum),
    "range": ("Range", 20, _range),
    "oi_flow": ("Open-interest flow", 20, _oi_flow),
    "obv": ("On-balance volume", 15, _obv),
    "breakout": ("Breakout", 20, _breakout),
    "risk_reward": ("Risk and reward", 15, _risk_reward),
    "sentiment": ("Sentiment", 10, _sentiment),
    PENALTY: ("Penalty", 20, _penalty),
}
