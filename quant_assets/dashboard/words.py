"""What a score, a reason and a source mean, in words.

A strategy that came from elsewhere has parts without words of ours: they are shown by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from quant_assets.dashboard.figures import number, signed
from quant_assets.derivatives.funding import rate_for_8_hours
from quant_assets.feed.reasons import Measured, measured, reason_summary
from quant_assets.signals import PENALTY, SUMS
from quant_assets.signals.features.bars import HTF, LTF
from quant_assets.signals.features.candle_features import MAX_AGE_MS, MIN_BARS, OBV_SLOPE_BARS
from quant_assets.signals.features.trendlines import LINE_TOLERANCE, TRIGGER_BARS
from quant_assets.signals.strategies.breakout import Breakout
from quant_assets.signals.strategies.breakout_v2 import ALLOWED, BEST, BreakoutV2
from quant_assets.signals.strategies.legacy import Legacy

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Part:
    """One line of a score's explanation; `most` is None for a part that nobody told us about."""

    name: str
    colour: str
    title: str
    points: float
    most: float | None
    words: str


def _few_bars(found: Measured | None) -> str:
    if found is not None and found.value == "0":
        return f"There is no closed bar on 15m, or none on 4h; {MIN_BARS} are needed on each to judge the market."
    have = "Too few closed bars" if found is None else f"Only {found.value} closed bars"
    return f"{have} on 15m or on 4h; {MIN_BARS} are needed on each to judge the market."


def _stale_candles(_: Measured | None) -> str:
    minutes, hours = MAX_AGE_MS[LTF] / 60_000, MAX_AGE_MS[HTF] / 3_600_000
    return (
        f"The last candle is too old: on 15m by more than {minutes:g} minutes, or on 4h by more than {hours:g} hours."
    )


def _low_score(found: Measured | None) -> str:
    than = "" if found is None else f": {found.value}, where {found.bound} is needed"
    return f"There is a trend, but the score is below the strategy's threshold{than}."


def _moved_away(found: Measured | None) -> str:
    how_far = "too far" if found is None else found.value
    most = "" if found is None else f"; at most {found.bound} count"
    return f"RSI broke out, but price is already {how_far} from the close of that bar{most}."


def _close_stop(found: Measured | None) -> str:
    numbers = "" if found is None else f": {found.value}, where {found.bound} is needed"
    return f"The stop is so close to the entry that costs would eat the trade{numbers}."


def _poor_risk_reward(found: Measured | None) -> str:
    if found is None:
        return "The way to the target is too short for the way to the stop, or no target lies beyond the entry."
    return f"The way to the target is {found.value} times the way to the stop; at least {found.bound} is needed."


def _low_open_interest(found: Measured | None) -> str:
    numbers = "" if found is None else f": its z-score is {found.value}, and more than {found.bound} is needed"
    return f"RSI broke out, but open interest is not unusually high{numbers}."


def _outside_range(found: Measured | None) -> str:
    numbers = "" if found is None else f": it is {found.value}, and the bound is {found.bound}"
    return f"RSI broke out, but stands where little room is left{numbers}."


def _said(text: str) -> Callable[[Measured | None], str]:
    return lambda _: text


REASONS: Final[Mapping[str, Callable[[Measured | None], str]]] = {
    "insufficient_history": _few_bars,
    "stale_candles": _stale_candles,
    "no_trend": _said("No trend: the close is not above EMA50 and that above EMA200, nor below in the same order."),
    "score_below_threshold": _low_score,
    "no_valid_setup": _said("Entry, stop and target do not stand in order, so there is no trade to describe."),
    "stop_too_close": _close_stop,
    "no_breakout": _said(
        f"None of the last {TRIGGER_BARS} bars on 4h took RSI more than {LINE_TOLERANCE:g} beyond a standing trendline."
    ),
    "price_moved_away": _moved_away,
    "already_hit": _said("RSI broke out, but a later 4h bar has touched the stop or the target already."),
    "poor_risk_reward": _poor_risk_reward,
    "oi_z_score_too_low": _low_open_interest,
    "obv_against": _said(
        f"RSI broke out, but on-balance volume of the last {OBV_SLOPE_BARS} bars on 15m does not run the same way."
    ),
    "outside_range": _outside_range,
    "strategy_failed": _said("The strategy failed on this market; the run's log in Dagster says why."),
}

TIERS: Final[Mapping[str, str]] = {
    "resolved": "resolved: the market's own exchange",
    "aggregated": "aggregated: the best market of a reference exchange stands in",
    "neutral": "neutral: no market serves it, so it is scored in the middle",
}

UNITS: Final = {"BASE_ASSET": "of the base asset", "QUOTE_ASSET": "of the quote asset", "USD": "US dollars"}


def funding_words(funding: Json | None) -> str | None:
    """Write a funding rate with the hours that it is for, like +0.0044 % / 8h; without them where nobody says."""
    if funding is None:
        return None
    hours = funding.get("interval_hours")
    return f"{signed(funding['value'], 4, ' %')}{'' if hours is None else f' / {hours:g}h'}"


def for_8_hours(funding: Json) -> float:
    """Return a funding rate for 8 hours, in percent; an interval that nobody says is 8 hours."""
    return rate_for_8_hours(funding["value"], funding.get("interval_hours"))


def conflict_words(setups: Sequence[Json] | None) -> str | None:
    """Name the setups of the other side; None where there are none."""
    if not setups:
        return None
    named = (f"{one['side']} {one['symbol']} on {one['exchange']} ({one['strategy_name']})" for one in setups)
    return f"Setups of the other side on this asset: {', '.join(named)}"


def reason_words(details: Json) -> str:
    """Say why a strategy waits; a reason of a foreign strategy is given as it is, without underscores."""
    reason = details["reason"]
    return REASONS[reason](measured(details)) if reason in REASONS else reason_summary(details)


def explained(signal: Json) -> list[Part]:
    """Explain a score part by part, in the order of the feed."""
    parts = []
    for index, (name, points) in enumerate(signal["details"]["score_breakdown"].items()):
        if name not in SUMS:
            title, words = _PARTS.get(name, (name.replace("_", " "), lambda _: ""))
            parts.append(Part(name, colour_of(name, index), title, points, most_points(name), words(signal)))
    return parts


def colour_of(name: str, index: int) -> str:
    """Return what the page's colour of a part goes by: its name where there is one, else its place, p0 to p5."""
    return name if most_points(name) is not None else f"p{index % 6}"


def most_points(name: str) -> float | None:
    """Return the most points that a part can have; None for a part of a foreign strategy."""
    return _MAX_POINTS.get(name)


def _trend(s: Json) -> str:
    if s["bias"] == "NONE":
        return "No trend, no points."
    adx = s["observability"]["score_composition"].get("adx")
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
    z = s["observability"]["score_composition"].get("oi_z_score")
    if z is None:
        return "Open interest has no z-score: unknown, too short, flat or too old. Ten is the middle."
    return f"Open interest stands {signed(z, 2)} deviations from its mean: 10 + z × 10/3, kept to 0–20."


def _sentiment(s: Json) -> str:
    funding, ratio = s["derivatives"]["funding_rate"], s["derivatives"]["long_short_ratio"]
    told = [
        "funding is unknown" if funding is None else f"funding is {signed(for_8_hours(funding), 4, ' %')} for 8 hours",
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
    rsi = s["observability"]["score_composition"].get("rsi")
    best, allowed = (f"{lowest:g}–{highest:g}" for lowest, highest in (BEST[s["bias"]], ALLOWED[s["bias"]]))
    return f"RSI on 4h is {number(rsi, 1) or 'unknown'}: twenty within {best}, ten in the rest of {allowed}."


def _obv(s: Json) -> str:
    passed = s["observability"]["score_composition"]["filters_passed"].get("obv_slope")
    says = {True: "runs the same way", False: "does not run the same way", None: "was not looked at: no breakout"}
    return f"On-balance volume of the last {OBV_SLOPE_BARS} bars on 15m {says[passed]}."


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
#: Most points by part, as the built-in strategies declare them.
_MAX_POINTS: Final[Mapping[str, float]] = {**Legacy.max_points, **Breakout.max_points, **BreakoutV2.max_points}
