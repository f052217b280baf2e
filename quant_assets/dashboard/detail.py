"""What opens under a row: one signal in full, as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from quant_assets.common.settings import Settings
from quant_assets.dashboard import figures
from quant_assets.dashboard.documents import Document
from quant_assets.dashboard.history import Source, sources
from quant_assets.dashboard.rows import bar_of, row_id
from quant_assets.dashboard.words import TIERS, UNITS, explained, funding_words, reason_words
from quant_assets.feed.build import FRESH_SECONDS, OLD_PRICE_SECONDS
from quant_assets.feed.reasons import reason_summary
from quant_assets.signals import PENALTY
from quant_assets.storage.lake import Lake

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Fact:
    """A name and what is known of it: None is unknown; `note` stands beside, `stale` is an age that is too old."""

    name: str
    text: str | None
    note: str = ""
    stale: str | None = None


def detail(document: Document, signals: Sequence[Json], strategy: str, settings: Settings) -> dict[str, Any]:
    """Return what is told of the signal of one strategy, the first where that has none; `signals` are its market's."""
    signal = next((signal for signal in signals if signal["strategy_name"] == strategy), signals[0])
    decimals = figures.price_decimals(signal["price"])
    known = sources(Lake(settings.lake_dir), document.window, signal["exchange"], signal["symbol"])
    return {
        "id": row_id(signal),
        "series": f"/api/signals/{quote(signal['exchange'], safe='')}/{quote(signal['symbol'], safe='')}",
        "window": document.feed["window"],
        "signal": signal,
        "score": figures.number(signal["score"], 1),
        "bar": bar_of(signal["details"]["score_breakdown"]),
        "parts": [
            {
                "kind": part.name,
                "colour": part.colour,
                "title": part.title,
                "points": f"{figures.MINUS if part.name == PENALTY and part.points else ''}{part.points:.1f}",
                "most": None if part.most is None else f"{part.most:g}",
                "words": part.words,
            }
            for part in explained(signal)
        ],
        "why": reason_summary(signal["details"]),
        "reason": reason_words(signal["details"]) if signal["setup"] is None else "",
        "trade": _trade(signal, decimals),
        "data": [*_data(signal, known)],
        "market": _market(signal, decimals),
        "lines": _lines(signal, decimals),
        "conflict": [
            {
                "id": row_id(other),
                "side": other["side"],
                **{k: other[k] for k in ("exchange", "symbol", "strategy_name")},
            }
            for other in signal.get("conflict") or ()
        ],
        "others": [
            {"id": row_id(other), "name": other["strategy_name"], "action": other["action"], "score": other["score"]}
            for other in signals
        ],
    }


def _trade(signal: Json, decimals: int) -> list[Fact]:
    if signal["setup"] is None:
        return []
    entry = signal["entry"]

    def away(price: float) -> str:
        return f"{(price / entry - 1) * 100:+.2f} %".replace("-", figures.MINUS)

    return [
        Fact("Entry", figures.price(entry, decimals)),
        Fact("Stop", figures.price(signal["stop_loss"], decimals), away(signal["stop_loss"])),
        Fact("Target", figures.price(signal["take_profit"], decimals), away(signal["take_profit"])),
        Fact("Reward / risk", figures.number(signal["rr"])),
    ]


def _data(signal: Json, known: Mapping[Any, Source]) -> list[dict[str, Any]]:
    """Return a line for each dataset: its figures, the tier that served it, whence, and how old it is."""
    interest, derivatives = signal["oi_metadata"], signal["derivatives"]
    funding, ratio, liquidated = (derivatives[name] for name in ("funding_rate", "long_short_ratio", "liquidations"))
    unit = UNITS.get(interest["unit"], "")
    values: dict[str, tuple[str, str | None, str, float | None]] = {
        "open_interest": (
            "Open interest",
            figures.amount(interest["value"]),
            f"{unit}, {figures.change(interest.get('change_24h_pct')) or 'unknown change'} in 24 h, "
            f"z-score {figures.signed(interest['z_score'], 2) or 'unknown'}".removeprefix(", ")
            if interest["value"] is not None
            else "",
            interest["age_seconds"] if interest["value"] is not None else None,
        ),
        "funding_rate": (
            "Funding",
            funding_words(funding),
            "",
            funding and funding["age_seconds"],
        ),
        "long_short_ratio": (
            "Long / short",
            figures.number(ratio and ratio["value"]),
            "",
            ratio and ratio["age_seconds"],
        ),
        "liquidations": (
            "Liquidations, 24 h",
            None
            if liquidated is None
            else f"{figures.amount(liquidated['longs_24h'])} longs, {figures.amount(liquidated['shorts_24h'])} shorts",
            UNITS.get(liquidated and liquidated.get("unit"), ""),
            liquidated and liquidated["age_seconds"],
        ),
    }
    lines = []
    for dataset, (name, text, note, age) in values.items():
        source = known.get(dataset)
        status = source.status if source else (interest["status"] if dataset == "open_interest" else None)
        symbol = source.symbol if source else (interest["coinalyze_symbol"] if dataset == "open_interest" else "")
        exchange = source.exchange if source else (interest["reference_exchange"] if dataset == "open_interest" else "")
        lines.append(
            {
                "fact": Fact(name, text, note, figures.age(age) if age is not None and age > FRESH_SECONDS else None),
                "age": figures.age(age),
                "status": status,
                "tier": TIERS.get(status or "", None),
                "source": " ".join(part for part in (exchange, symbol) if part),
            }
        )
    return lines


def _price_age(signal: Json) -> str:
    """Say how old the price was at the window's end, where it lacks a bar."""
    age_seconds = signal.get("price_age_seconds", 0.0)
    return f"{figures.age(age_seconds)} old at the window's end" if age_seconds >= OLD_PRICE_SECONDS else ""


def _market(signal: Json, decimals: int) -> list[Fact]:
    seen = signal["observability"]["score_composition"]
    return [
        Fact("Price", figures.price(signal["price"], decimals), _price_age(signal)),
        Fact("Change, 24 h", figures.change(signal["details"].get("change_24h_pct"))),
        Fact("Volume, 24 h", figures.amount(signal["details"]["vol24h"] or None), "in quote"),
        Fact("RSI, 4h", figures.number(seen.get("rsi"), 1)),
        Fact("ADX, 4h", figures.number(seen.get("adx"), 1)),
        Fact("EMA 50, 4h", figures.price(seen.get("ema50"), decimals)),
        Fact("EMA 200, 4h", figures.price(seen.get("ema200"), decimals)),
        Fact("ATR, 4h", figures.price(seen.get("atr"), decimals)),
    ]


def _lines(signal: Json, decimals: int) -> list[dict[str, Any]]:
    lines = [
        {
            "kind": kind,
            "pivots": [(figures.moment(line[p]["time"]), f"{line[p]['value']:.1f}") for p in ("pivot_1", "pivot_2")],
            "now": f"{line['current_value']:.1f}",
            "touches": f"{line['touches']}",
            "price": figures.price(line["reverse_rsi_price"], decimals),
        }
        for kind, line in signal["observability"]["rsi_visuals"].items()
    ]
    broken = (signal["setup"] or {}).get("trendline")
    if broken is not None:
        lines.append(
            {
                "kind": "broken",
                "pivots": [
                    (figures.moment(broken["start_time"]), f"{broken['start_rsi']:.1f}"),
                    (figures.moment(broken["end_time"]), f"{broken['end_rsi']:.1f}"),
                ],
                "now": f"{broken['current_projected_rsi']:.1f}",
                "touches": None,
                "price": None,
            }
        )
    return lines
