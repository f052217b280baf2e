"""The rows of the page's table: the values and texts of its cells, searching and sorting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final

from quant_assets.dashboard import formatting
from quant_assets.dashboard.columns import SORT_FIELDS, SORTS
from quant_assets.dashboard.explanations import (
    TIERS,
    UNITS,
    conflict_text,
    funding_for_8_hours,
    funding_text,
    part_colours,
)
from quant_assets.dashboard.signal_record import TradeKey, record_fields, trade_key
from quant_assets.derivatives.funding import FUNDING_HOURS
from quant_assets.feed.reasons import reason_summary
from quant_assets.signals import PENALTY, SUMS, GateIndex

Json = Mapping[str, Any]

NO_ENDINGS: Final[Mapping[TradeKey, Json]] = {}


@dataclass(frozen=True, slots=True)
class Row:
    """One signal; `*_text` is a number as shown, and None is unknown."""

    id: str
    action: str
    conflict: str | None
    """The setups of the opposite side on the same asset, as a sentence."""
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
    record: float | None
    """Mean result of signals like this, R; None if there are too few."""
    record_text: str
    """The mean result, "too few to say", or "" without a record."""
    record_few: bool
    record_n: str
    record_title: str
    ended_text: str
    """How the signal's own trade ended; "" if it has not."""
    bias: str
    reason: str | None
    phone_note: str
    """The text below the market on a phone: R:R, or the reason."""
    oi_status: str
    oi_value: str | None
    oi_change: str
    oi_z: str
    oi_age: float | None
    oi_age_text: str
    oi_stale: bool
    oi_title: str
    funding_size: float | None
    """The absolute rate for 8 hours, in percent."""
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
    price_age: str | None
    """The age of the price, if its last bar is missing."""
    full: Mapping[str, str]
    """The full text of each price that is shown shortened, by column."""


def rows_of(signals: Iterable[Json], gates: GateIndex, endings: Mapping[TradeKey, Json] = NO_ENDINGS) -> list[Row]:
    """Return a row for each signal, in the same order; `endings` are the trades of the signals that have ended."""
    return [_row(signal, gates, endings.get(trade_key(signal)) if signal["setup"] else None) for signal in signals]


def row_id(signal: Json) -> str:
    """Return the id of a signal within a feed and in the page's address."""
    return f"{signal['exchange']}/{signal['symbol']}/{signal['strategy_name']}"


def search_rows(rows: Sequence[Row], search: str) -> list[Row]:
    """Return the rows that contain every word of a search."""
    words = search.casefold().split()
    return [row for row in rows if all(word in _search_text(row) for word in words)] if words else list(rows)


def sort_rows(rows: Sequence[Row], sort: str, direction: str) -> list[Row]:
    """Sort rows by one column; equal rows keep the feed's order, unknown values come last."""
    if sort not in SORTS:
        return list(rows)
    value = attrgetter(SORT_FIELDS.get(sort, sort))
    known = [row for row in rows if value(row) is not None]
    unknown = [row for row in rows if value(row) is None]
    return sorted(known, key=value, reverse=direction == "desc") + unknown


def _row(signal: Json, gates: GateIndex, ended: Json | None) -> Row:
    setup = signal["setup"] is not None
    decimals = formatting.price_decimals(signal["price"])
    interest, derivatives = signal["oi_metadata"], signal["derivatives"]
    funding, ratio = derivatives["funding_rate"], derivatives["long_short_ratio"]
    details = signal["details"]
    reason = reason_summary(signal, gates) or None
    rr = formatting.number(signal["rr"]) if setup else None
    oi_age = interest["age_seconds"] if interest["value"] is not None else None
    # Feeds of version 1.0 lack the keys that are read with `get`.
    change, volume = details.get("change_24h_pct"), details["vol24h"] or None
    keys = {"entry": "entry", "stop": "stop_loss", "target": "take_profit", "price": "price"}
    full = {name: formatting.price(signal[key], decimals) for name, key in keys.items()}
    short = {name: formatting.short_price(text) for name, text in full.items()}
    return Row(
        id=row_id(signal),
        action=signal["action"],
        conflict=conflict_text(signal.get("conflict")),
        market=signal["display_symbol"],
        symbol=signal["symbol"],
        exchange=signal["exchange"],
        tag=signal["exchange_tag"],
        strategy=signal["strategy_name"],
        score=signal["score"],
        score_text=f"{signal['score']:.1f}",
        bar=bar_of(details["score_breakdown"]),
        parts=_parts_text(details["score_breakdown"]),
        rr=signal["rr"] if setup else None,
        rr_text=rr,
        entry=signal["entry"],
        entry_text=short["entry"],
        stop=signal["stop_loss"],
        stop_text=short["stop"],
        target=signal["take_profit"],
        target_text=short["target"],
        **record_fields(signal, ended),
        bias=signal["bias"],
        reason=reason,
        phone_note=rr or reason or "",
        **_open_interest(interest, oi_age),
        funding_size=None if funding is None else abs(funding_for_8_hours(funding)),
        funding_text=funding_text(funding),
        funding_stale=formatting.stale_age(funding) is not None,
        funding_title=_funding_title(funding),
        ls=ratio and ratio["value"],
        ls_text=formatting.number(ratio and ratio["value"]),
        ls_stale=formatting.stale_age(ratio) is not None,
        ls_title=_stale_note(ratio),
        volume=volume,
        volume_text=formatting.amount(volume),
        change=change,
        change_text=formatting.change(change),
        price=signal["price"],
        price_text=short["price"],
        price_age=formatting.old_price_age(signal),
        full={name: text for name, text in full.items() if text is not None and text != short[name]},
    )


def bar_of(parts: Mapping[str, float]) -> tuple[tuple[str, float, float], ...]:
    """Return the segments of a score's bar: colour key, left and width, in points.

    The penalty comes last and covers the end of the bar.
    """
    segments: list[tuple[str, float, float]] = []
    colours = part_colours(parts)
    left = 0.0
    for name, points in parts.items():
        if name not in SUMS and name != PENALTY and points > 0:
            segments.append((colours[name], round(left, 1), round(min(points, max(100 - left, 0)), 1)))
            left = min(left + points, 100.0)
    penalty = min(parts.get(PENALTY, 0.0), left)
    if penalty > 0:
        segments.append((PENALTY, round(left - penalty, 1), round(penalty, 1)))
    return tuple(segments)


def _parts_text(parts: Mapping[str, float]) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} {formatting.MINUS if name == PENALTY and points else ''}{points:.1f}"
        for name, points in parts.items()
        if name not in SUMS
    )


def _open_interest(interest: Json, age_seconds: float | None) -> dict[str, Any]:
    """Return the row's fields for the open-interest cell; its tooltip describes all of them."""
    is_known = interest["value"] is not None
    change = formatting.change(interest.get("change_24h_pct")) if is_known else None
    z_score = formatting.signed(interest["z_score"], 2) if is_known else None
    value, age = formatting.amount(interest["value"]), formatting.age(age_seconds)
    notes = [TIERS[interest["status"]]]
    if is_known:
        notes += [
            f"{value} {UNITS.get(interest['unit'], '')}".rstrip(),
            f"{change or 'unknown change'} in 24 hours",
            f"z-score {z_score or 'unknown'}",
            f"{age} old" if age else "age unknown",
        ]
    return {
        "oi_status": interest["status"],
        "oi_value": value,
        "oi_change": (change or "–") if is_known else "",
        "oi_z": f"z {z_score or '–'}" if is_known else "",
        "oi_age": age_seconds,
        "oi_age_text": age or ("–" if is_known else ""),
        "oi_stale": is_known and formatting.stale_age(interest) is not None,
        "oi_title": ", ".join(notes),
    }


def _stale_note(aged: Json | None) -> str:
    age = formatting.stale_age(aged)
    return "" if age is None else f"stale: {age} old"


def _funding_title(funding: Json | None) -> str:
    """Return the tooltip of a funding rate: the rate for 8 hours, if its interval is another, and its stale age."""
    if funding is None:
        return ""
    is_other_interval = (funding.get("interval_hours") or FUNDING_HOURS) != FUNDING_HOURS
    rate = f"{formatting.signed(funding_for_8_hours(funding), 4, ' %')} for 8 hours" if is_other_interval else ""
    return "; ".join(part for part in (rate, _stale_note(funding)) if part)


def _search_text(row: Row) -> str:
    return (
        f"{row.market} {row.symbol} {row.exchange} {row.tag} {row.strategy} {row.action} {row.reason or ''}".casefold()
    )


#: The row that the page's script clones; it fills every cell of the clone.
BLANK_ROW: Final = Row(
    id="",
    action="",
    conflict=None,
    market="",
    symbol="",
    exchange="",
    tag="",
    strategy="",
    score=0.0,
    score_text="",
    bar=(),
    parts="",
    rr=None,
    rr_text=None,
    entry=None,
    entry_text=None,
    stop=None,
    stop_text=None,
    target=None,
    target_text=None,
    record=None,
    record_text="",
    record_few=False,
    record_n="",
    record_title="",
    ended_text="",
    bias="",
    reason=None,
    phone_note="",
    oi_status="",
    oi_value=None,
    oi_change="",
    oi_z="",
    oi_age=None,
    oi_age_text="",
    oi_stale=False,
    oi_title="",
    funding_size=None,
    funding_text=None,
    funding_stale=False,
    funding_title="",
    ls=None,
    ls_text=None,
    ls_stale=False,
    ls_title="",
    volume=None,
    volume_text=None,
    change=None,
    change_text=None,
    price=0.0,
    price_text="",
    price_age=None,
    full={},
)
