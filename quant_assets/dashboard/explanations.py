"""Explanations of scores and data sources in plain English.

How points are computed is said by the strategy; here are the values that it read, as far as the feed has them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from quant_assets.dashboard.formatting import number, signed
from quant_assets.derivatives.funding import rate_for_8_hours
from quant_assets.signals import PENALTY, SUMS, Strategy, title_of

Json = Mapping[str, Any]

#: Parts that have a colour of their own, since several strategies have them; the others have one by position.
_SHARED_COLOURS: Final = frozenset({"oi_flow", "sentiment", PENALTY})
_POSITION_COLOURS: Final = 6


@dataclass(frozen=True, slots=True)
class ScorePart:
    """One line of a score's explanation; `max_points` is None if it is not declared."""

    name: str
    colour: str
    title: str
    points: float
    max_points: float | None
    explanation: str
    values: str
    """The values that the part depends on, of this market."""


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


def explain_score(signal: Json, strategy: Strategy | None) -> list[ScorePart]:
    """Explain a score part by part, in the order of the feed; without words if the strategy is not installed."""
    breakdown = signal["details"]["score_breakdown"]
    colours = part_colours(breakdown)
    texts: Mapping[str, str] = {} if strategy is None else strategy.explanations()
    maxima: Mapping[str, float] = {} if strategy is None else strategy.max_points
    reads = {} if strategy is None else strategy.reads
    return [
        ScorePart(
            name=name,
            colour=colours[name],
            title=title_of(name),
            points=points,
            max_points=maxima.get(name),
            explanation=texts.get(name, ""),
            values=", ".join(_VALUES[field](signal) for field in reads.get(name, ()) if field in _VALUES),
        )
        for name, points in breakdown.items()
        if name not in SUMS
    ]


def part_colours(names: Iterable[str]) -> dict[str, str]:
    """Return the colour key of each part of a score, in their order."""
    parts = [name for name in names if name not in SUMS]
    own = [name for name in parts if name not in _SHARED_COLOURS]
    by_position = {name: f"p{index % _POSITION_COLOURS}" for index, name in enumerate(own)}
    return {name: by_position.get(name, name) for name in parts}


def _composed(signal: Json, name: str) -> float | None:
    value: float | None = signal["observability"]["score_composition"].get(name)
    return value


def _funding(signal: Json) -> str:
    funding = signal["derivatives"]["funding_rate"]
    if funding is None:
        return "funding unknown"
    return f"funding {signed(funding_for_8_hours(funding), 4, ' %')} for 8 hours"


def _ratio(signal: Json) -> str:
    ratio = signal["derivatives"]["long_short_ratio"]
    return f"long/short {'unknown' if ratio is None else number(ratio['value'])}"


def _obv_slope(signal: Json) -> str:
    slope = _composed(signal, "obv_slope")
    return f"OBV {'unknown' if slope is None else 'rises' if slope > 0 else 'falls' if slope < 0 else 'is flat'}"


#: Field of the features → its value in a signal of the feed, as text. Other fields are not in the feed.
_VALUES: Final[Mapping[str, Callable[[Json], str]]] = {
    "htf_rsi": lambda s: f"RSI on 4h {number(_composed(s, 'rsi'), 1) or 'unknown'}",
    "htf_adx": lambda s: f"ADX on 4h {number(_composed(s, 'adx'), 1) or 'unknown'}",
    "oi_z": lambda s: f"z {signed(_composed(s, 'oi_z_score'), 2) or 'unknown'}",
    "obv_slope": _obv_slope,
    "obv_imbalance": lambda s: f"OBV against price {s['ltf']['obvImbalance'].lower()}",
    "is_pullback": lambda s: f"pullback {s['ltf']['pullbackDepth'] * 100:.0f} %",
    "is_volume_quiet": lambda s: f"volume {'quiet' if s['ltf']['volumeOk'] else 'not quiet'}",
    "funding_rate_pct": _funding,
    "long_short_ratio": _ratio,
    "divergence": lambda s: f"divergence {s['ltf']['divergence'].lower()}",
    "is_overextended": lambda s: f"price {'beyond' if s['ltf']['isOverextended'] else 'within'} the band",
}
