"""The rows of the page's table: what it shows of each signal, ready to be put into cells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, Final

from quant_assets.dashboard import figures
from quant_assets.dashboard.words import TIERS, UNITS, colour_of, conflict_words, for_8_hours, funding_words
from quant_assets.derivatives.funding import FUNDING_HOURS
from quant_assets.feed.build import FRESH_SECONDS, OLD_PRICE_SECONDS
from quant_assets.feed.reasons import reason_summary
from quant_assets.signals import PENALTY, SUMS

Json = Mapping[str, Any]

#: Columns that can be sorted, with their titles: text in front of numbers, a dash last in either direction.
SORTS: Final[Mapping[str, str]] = {
    "action": "Action",
    "market": "Market",
    "strategy": "Strategy",
    "score": "Score",
    "rr": "R:R",
    "entry": "Entry",
    "stop": "Stop",
    "target": "Target",
    "oi": "Open interest",
    "funding": "Funding",
    "ls": "L/S",
    "volume": "Volume",
    "change": "24 h",
    "price": "Price",
}
#: What says more than a column's title can, where that is needed.
SORT_TITLES: Final[Mapping[str, str]] = {
    "oi": "value, change over 24 hours, z-score and age; sorted by age",
    "funding": "rate and the hours that it is for; sorted by its size for 8 hours, whatever its sign",
    "ls": "long accounts by short accounts",
    "volume": "traded in 24 hours, in the quote currency",
    "change": "change of the price over 24 hours",
}
#: Columns that are sorted by another field than the one of their name.
SORT_FIELDS: Final[Mapping[str, str]] = {"oi": "oi_age", "funding": "funding_size"}
#: A first click shows the most of these.
DESCENDING: Final = frozenset({"score", "rr", "entry", "stop", "target", "funding", "ls", "volume", "change", "price"})


@dataclass(frozen=True, slots=True)
class Row:
    """One signal. None is unknown; a text stands beside each number that is shown."""

    id: str
    action: str
    conflict: str | None
    """The setups of the other side on the same asset, as a sentence."""
    market: str
    symbol: str
    exchange: str
    tag: str
    strategy: str
    score: float
    score_text: str
    bar: tuple[tuple[str, float, float], ...]
    """Kind, left and width of each piece of the score's bar, in points."""
    parts: str
    rr: float | None
    rr_text: str | None
    entry: float | None
    entry_text: str | None
    stop: float | None
    stop_text: str | None
    target: float | None
    target_text: str | None
    bias: str
    reason: str | None
    say: str
    """What stands below the market on a phone: reward by risk, or the reason."""
    oi: str
    oi_value: str | None
    oi_change: str
    oi_z: str
    oi_age: float | None
    oi_text: str
    oi_stale: bool
    oi_title: str
    funding_size: float | None
    """For 8 hours, without its sign."""
    funding_text: str | None
    funding_stale: bool
    funding_title: str
    ls: float | None
    ls_text: str | None
    ls_stale: bool
    ls_title: str
    volume: float | None
    volume_text: str | None
    change: float | None
    change_text: str | None
    price: float
    price_text: str | None
    price_old: str | None
    """Its age at the window's end where a bar or more is missing."""
    full: Mapping[str, str]
    """By column, the whole number where a price's text is a short one."""


def rows_of(signals: Iterable[Json]) -> list[Row]:
    """Return a row for each signal, in their order."""
    return [_row(signal) for signal in signals]


def row_id(signal: Json) -> str:
    """Return what names a signal within a feed, and in the page's address."""
    return f"{signal['exchange']}/{signal['symbol']}/{signal['strategy_name']}"


def matching(rows: Sequence[Row], search: str) -> list[Row]:
    """Return the rows in which every word of a search is found."""
    words = search.casefold().split()
    return [row for row in rows if all(word in _text(row) for word in words)] if words else list(rows)


def ordered(rows: Sequence[Row], sort: str, direction: str) -> list[Row]:
    """Return the rows by one column; equal ones keep the feed's order, unknown ones come last."""
    if sort not in SORTS:
        return list(rows)
    value = attrgetter(SORT_FIELDS.get(sort, sort))
    known = [row for row in rows if value(row) is not None]
    unknown = [row for row in rows if value(row) is None]
    return sorted(known, key=value, reverse=direction == "desc") + unknown


def summary(feed: Json) -> dict[str, Any]:
    """Return the figures above the table, as text."""
    stats = feed["stats"]
    interest, api = stats["freshness"]["open_interest"], stats["api"]
    waited = api.get("waited_seconds", 0)
    return {
        "title": f"{stats['actions']['LONG']:,} long, {stats['actions']['SHORT']:,} short · signals",
        "window": feed["window"],
        "as_of": feed["as_of"],
        "as_of_ms": int(datetime.strptime(feed["as_of"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp() * 1000),
        "last_updated": feed["last_updated"],
        "updated": figures.moment(feed["last_updated"]),
        "simulated": feed["simulated"],
        "strategies": stats["strategies"],
        "exchanges": sorted({signal["exchange"] for signal in feed["signals"]}),
        "texts": {
            "markets": f"{stats['markets']:,}",
            "signals": f"{stats['signals']:,}",
            **{name: f"{count:,}" for name, count in stats["actions"].items()},
            **{name: f"{count:,}" for name, count in stats["resolution"].items()},
            **{f"oi_{name}": f"{interest[name]:,}" for name in ("fresh", "stale", "missing")},
            "oi_median": figures.age(interest["median_age_seconds"]) or "unknown",
            "calls": f"{api['calls']:,.0f}",
            "requests": f"{api['requests']:,.0f}",
            "cache_hits": f"{api['cache_hits']:,.0f}",
            "rate_limited": f"{api['rate_limited']:,.0f}",
            "waited": f"{waited:,.0f} s",
            "skipped": f"{len(stats['skipped']):,}",
        },
        "shares": _shares(stats["resolution"]),
    }


def _row(signal: Json) -> Row:
    setup = signal["setup"] is not None
    decimals = figures.price_decimals(signal["price"])
    interest, derivatives = signal["oi_metadata"], signal["derivatives"]
    funding, ratio = derivatives["funding_rate"], derivatives["long_short_ratio"]
    details = signal["details"]
    reason = reason_summary(details) or None
    rr = figures.number(signal["rr"]) if setup else None
    # Feeds of version 1.0 do not say what is read by `get`.
    price_age = signal.get("price_age_seconds", 0.0)
    oi_age = interest["age_seconds"] if interest["value"] is not None else None
    change, volume = details.get("change_24h_pct"), details["vol24h"] or None
    keys = {"entry": "entry", "stop": "stop_loss", "target": "take_profit", "price": "price"}
    whole = {name: figures.price(signal[key], decimals) for name, key in keys.items()}
    short = {name: figures.short_price(text) for name, text in whole.items()}
    return Row(
        id=row_id(signal),
        action=signal["action"],
        conflict=conflict_words(signal.get("conflict")),
        market=signal["display_symbol"],
        symbol=signal["symbol"],
        exchange=signal["exchange"],
        tag=signal["exchange_tag"],
        strategy=signal["strategy_name"],
        score=signal["score"],
        score_text=f"{signal['score']:.1f}",
        bar=bar_of(details["score_breakdown"]),
        parts=_parts(details["score_breakdown"]),
        rr=signal["rr"] if setup else None,
        rr_text=rr,
        entry=signal["entry"],
        entry_text=short["entry"],
        stop=signal["stop_loss"],
        stop_text=short["stop"],
        target=signal["take_profit"],
        target_text=short["target"],
        bias=signal["bias"],
        reason=reason,
        say=rr or reason or "",
        **_open_interest(interest, oi_age),
        funding_size=None if funding is None else abs(for_8_hours(funding)),
        funding_text=funding_words(funding),
        funding_stale=_is_stale(funding),
        funding_title=_funding_title(funding),
        ls=ratio and ratio["value"],
        ls_text=figures.number(ratio and ratio["value"]),
        ls_stale=_is_stale(ratio),
        ls_title=_stale_words(ratio),
        volume=volume,
        volume_text=figures.amount(volume),
        change=change,
        change_text=figures.change(change),
        price=signal["price"],
        price_text=short["price"],
        price_old=figures.age(price_age) if price_age >= OLD_PRICE_SECONDS else None,
        full={name: text for name, text in whole.items() if text is not None and text != short[name]},
    )


def bar_of(parts: Mapping[str, float]) -> tuple[tuple[str, float, float], ...]:
    """Return the pieces of a score's bar from left to right; what a penalty takes off lies over the last of them.

    A piece is what its colour goes by, left and width.
    """
    pieces: list[tuple[str, float, float]] = []
    left = 0.0
    for index, (name, points) in enumerate(parts.items()):
        if name not in SUMS and name != PENALTY and points > 0:
            pieces.append((colour_of(name, index), round(left, 1), round(min(points, max(100 - left, 0)), 1)))
            left = min(left + points, 100.0)
    penalty = min(parts.get(PENALTY, 0.0), left)
    if penalty > 0:
        pieces.append((PENALTY, round(left - penalty, 1), round(penalty, 1)))
    return tuple(pieces)


def _parts(parts: Mapping[str, float]) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} {figures.MINUS if name == PENALTY and points else ''}{points:.1f}"
        for name, points in parts.items()
        if name not in SUMS
    )


def _open_interest(interest: Json, age_seconds: float | None) -> dict[str, Any]:
    """Return the fields of a row that the cell of open interest shows; its title says all of it in words."""
    is_known = interest["value"] is not None
    change = figures.change(interest.get("change_24h_pct")) if is_known else None
    z_score = figures.signed(interest["z_score"], 2) if is_known else None
    value, age = figures.amount(interest["value"]), figures.age(age_seconds)
    told = [TIERS[interest["status"]]]
    if is_known:
        told += [
            f"{value} {UNITS.get(interest['unit'], '')}".rstrip(),
            f"{change or 'unknown change'} in 24 hours",
            f"z-score {z_score or 'unknown'}",
            f"{age} old" if age else "age unknown",
        ]
    return {
        "oi": interest["status"],
        "oi_value": value,
        "oi_change": (change or "–") if is_known else "",
        "oi_z": f"z {z_score or '–'}" if is_known else "",
        "oi_age": age_seconds,
        "oi_text": age or ("–" if is_known else ""),
        "oi_stale": age_seconds is not None and age_seconds > FRESH_SECONDS,
        "oi_title": ", ".join(told),
    }


def _is_stale(aged: Json | None) -> bool:
    return aged is not None and aged["age_seconds"] is not None and aged["age_seconds"] > FRESH_SECONDS


def _stale_words(aged: Json | None) -> str:
    return f"stale: {figures.age(aged['age_seconds'])} old" if aged is not None and _is_stale(aged) else ""


def _funding_title(funding: Json | None) -> str:
    """Say what the rate comes to for 8 hours, where it is for others, and how old it is where it is stale."""
    if funding is None:
        return ""
    is_for_others = (funding.get("interval_hours") or FUNDING_HOURS) != FUNDING_HOURS
    rate = f"{figures.signed(for_8_hours(funding), 4, ' %')} for 8 hours" if is_for_others else ""
    return "; ".join(part for part in (rate, _stale_words(funding)) if part)


def _shares(counts: Mapping[str, int]) -> list[tuple[str, float, float]]:
    """Return name, left and width in percent of a bar that is divided by counts."""
    whole = sum(counts.values()) or 1
    shares, left = [], 0.0
    for name, count in counts.items():
        shares.append((name, round(left, 2), round(100 * count / whole, 2)))
        left += 100 * count / whole
    return shares


def _text(row: Row) -> str:
    return (
        f"{row.market} {row.symbol} {row.exchange} {row.tag} {row.strategy} {row.action} {row.reason or ''}".casefold()
    )


_EMPTY: Final[Mapping[Any, Any]] = {
    "str": "",
    "float": 0.0,
    "bool": False,
    "Mapping[str, str]": {},
    "tuple[tuple[str, float, float], ...]": (),
}
_BLANK_FIELDS: Final[Mapping[str, Any]] = {field.name: _EMPTY.get(field.type) for field in fields(Row)}
#: What the script clones for a row of its own; every cell of it is filled.
BLANK: Final = Row(**_BLANK_FIELDS)
