"""The detail panel of a row: one signal in full, as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from urllib.parse import quote

import pandas as pd

from quant_assets.common.settings import Settings
from quant_assets.dashboard import formatting
from quant_assets.dashboard.explanations import TIERS, UNITS, explain_score, funding_text
from quant_assets.dashboard.feed_repository import FeedDocument
from quant_assets.dashboard.market_data import Source, dataset_sources
from quant_assets.dashboard.own_charts import charts_of
from quant_assets.dashboard.record import trade_rows
from quant_assets.dashboard.rows import bar_of, row_id
from quant_assets.dashboard.signal_record import TradeKey, ending_sentence, record_sentence, result_text, trade_key
from quant_assets.dashboard.strategies import InForce
from quant_assets.derivatives.datasets import ENTRIES, PRIMARY_DATASET, DatasetSpec
from quant_assets.derivatives.exchange_values import EXCHANGE
from quant_assets.feed.reasons import reason_sentence, reason_summary
from quant_assets.providers.registry import provider_name
from quant_assets.signals import PENALTY, PRICE_CHART, Strategy, title_of
from quant_assets.storage.lake import Lake

Json = Mapping[str, Any]

#: Past trades listed in the panel; the chart and /api/trades have all.
SHOWN_TRADES: Final = 5
#: Datasets that are drawn in one chart; each other dataset with a chart has its own.
_SHARED_CHART: Final = ("open_interest", "liquidations")


@dataclass(frozen=True, slots=True)
class Figure:
    """A labelled value as text, with a note; None is unknown."""

    name: str
    text: str | None
    note: str = ""


def signal_detail(
    document: FeedDocument,
    signals: Sequence[Json],
    strategy: str,
    settings: Settings,
    in_force: InForce,
    trades: pd.DataFrame,
    endings: Mapping[TradeKey, Json],
) -> dict[str, Any]:
    """Return the content of the panel for one of a market's signals: that of the strategy, or else the first.

    `trades` are the past trades of the market, `endings` those of the window's signals that have ended.
    """
    signal = next((signal for signal in signals if signal["strategy_name"] == strategy), signals[0])
    judged_by = in_force.strategies.get(signal["strategy_name"])
    decimals = formatting.price_decimals(signal["price"])
    sources = dataset_sources(Lake(settings.lake_place), document.window, signal["exchange"], signal["symbol"])
    return {
        "id": row_id(signal),
        "series": f"/api/signals/{quote(signal['exchange'], safe='')}/{quote(signal['symbol'], safe='')}",
        "window": document.feed["window"],
        "signal": signal,
        "score": formatting.number(signal["score"], 1),
        "bar": bar_of(signal["details"]["score_breakdown"]),
        "parts": [
            {
                "name": part.name,
                "colour": part.colour,
                "title": part.title,
                "points": f"{formatting.MINUS if part.name == PENALTY and part.points else ''}{part.points:.1f}",
                "max_points": None if part.max_points is None else f"{part.max_points:g}",
                "explanation": part.explanation,
                "here": part.values,
            }
            for part in explain_score(signal, judged_by)
        ],
        "parameters_problem": in_force.problem,
        "reason_summary": reason_summary(signal, in_force.gates),
        "reason": reason_sentence(signal, in_force.gates),
        "trade": _trade(signal, decimals),
        "record": record_sentence(signal),
        "ended": ending_sentence(endings.get(trade_key(signal))) if signal["setup"] else "",
        "past_trades": _past_trades(trades, signal["strategy_name"], decimals),
        "setup": "" if judged_by is None else judged_by.explanations().get("setup", ""),
        "datasets": _datasets(signal, sources),
        "indicators": _indicators(signal, judged_by),
        "own_charts": [] if judged_by is None else [name for name in charts_of(judged_by) if name != PRICE_CHART],
        "charts": [spec for spec in ENTRIES if spec.chart and spec.name not in _SHARED_CHART],
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


def _trade(signal: Json, decimals: int) -> list[Figure]:
    if signal["setup"] is None:
        return []
    entry = signal["entry"]

    def from_entry(price: float) -> str | None:
        return formatting.signed((price / entry - 1) * 100, 2, " %")

    return [
        Figure("Entry", formatting.price(entry, decimals)),
        Figure("Stop", formatting.price(signal["stop_loss"], decimals), from_entry(signal["stop_loss"]) or ""),
        Figure("Target", formatting.price(signal["take_profit"], decimals), from_entry(signal["take_profit"]) or ""),
        Figure("Reward / risk", formatting.number(signal["rr"])),
    ]


def _past_trades(trades: pd.DataFrame, strategy: str, decimals: int) -> list[dict[str, str]]:
    """Return the last trades of a strategy on the market as texts, newest first."""
    rows = trade_rows(trades[trades["strategy"] == strategy].iloc[::-1].head(SHOWN_TRADES))
    return [
        {
            "side": row["side"],
            "entered": formatting.timestamp(row["entry_ms"]),
            "entry": formatting.price(row["entry"], decimals) or "",
            "ended": formatting.timestamp(row["exit_ms"]) if row["exit"] is not None and row["exit_ms"] else "",
            "exit": formatting.price(row["exit"], decimals) or "",
            "outcome": row["outcome"].replace("_", " "),
            "result": "" if row["net_r"] is None else f"{result_text(row['net_r'])} R",
        }
        for row in rows
    ]


def _indicators(signal: Json, strategy: Strategy | None) -> list[Figure]:
    """Return the strategy's own indicators with their values: those of the feed, and those that are unknown."""
    known = signal["observability"].get("indicators", {})
    declared = {} if strategy is None else strategy.own_indicators
    return [
        Figure(
            title_of(name),
            f"{known[name]:,.6g}" if name in known else None,
            declared[name].text if name in declared else "",
        )
        for name in dict.fromkeys([*declared, *known])
    ]


def _datasets(signal: Json, sources: Mapping[Any, Source]) -> list[dict[str, Any]]:
    """Return a line for each dataset: its value, status, source market and age."""
    interest = signal["oi_metadata"]
    # A feed from before a dataset was added lacks its block.
    blocks = {**signal["derivatives"], PRIMARY_DATASET: None if interest["value"] is None else interest}
    lines = []
    status: str | None
    exchange: str | None
    symbol: str | None
    for spec in ENTRIES:
        aged = blocks.get(spec.name)
        figure = Figure(spec.label, *_FIGURES.get(spec.name, partial(_value_text, spec))(aged))
        source = sources.get(spec.name)
        if source is not None:
            status, exchange, symbol = source.status, source.exchange, source.symbol
        elif spec.name == PRIMARY_DATASET:
            status, exchange, symbol = (interest[k] for k in ("status", "reference_exchange", "coinalyze_symbol"))
        else:
            status, exchange, symbol = None, None, None
        lines.append(
            {
                "figure": figure,
                "age": formatting.age(aged and aged["age_seconds"]),
                "is_stale": formatting.stale_age(aged) is not None,
                "status": status,
                "tier": TIERS.get(status or "", None),
                "source": _source_text(exchange, symbol, (aged or {}).get("z_score_provider")),
            }
        )
    return lines


def _source_text(exchange: str | None, symbol: str | None, z_score_provider: str | None) -> str:
    """Return the market that a value comes from, and who gave the z-score if it is of another series."""
    is_own = provider_name(symbol or "") == EXCHANGE
    text = " ".join(part for part in (exchange, (symbol or "").partition(":")[2] if is_own else symbol) if part)
    own = " (from the exchange)" if is_own else ""
    return f"{text}{own}, z-score from {z_score_provider}" if z_score_provider else f"{text}{own}"


def _value_text(spec: DatasetSpec, block: Json | None) -> tuple[str | None, str]:
    """Return the text of a dataset's first value in its unit, and a note."""
    if block is None:
        return None, ""
    value, unit = block[next(iter(spec.feed_keys))], spec.values[0].unit
    if spec.has_unit:
        return formatting.amount(value), UNITS.get(block.get("unit") or "", "")
    return (formatting.signed(value, 4, f" {unit}") if unit else formatting.number(value)), ""


def _liquidations_text(block: Json | None) -> tuple[str | None, str]:
    if block is None:
        return None, ""
    longs, shorts = (formatting.amount(block[key]) for key in ("longs_24h", "shorts_24h"))
    return f"{longs} longs, {shorts} shorts", UNITS.get(block.get("unit") or "", "")


def _interest_text(interest: Json | None) -> tuple[str | None, str]:
    if interest is None:
        return None, ""
    change = formatting.change(interest.get("change_24h_pct")) or "unknown change"
    z_score = formatting.signed(interest["z_score"], 2) or "unknown"
    unit = UNITS.get(interest["unit"])
    note = f"{f'{unit}, ' if unit else ''}{change} in 24 h, z-score {z_score}"
    return formatting.amount(interest["value"]), note


#: Datasets that show more than a value in its unit: their text and note.
_FIGURES: Final[Mapping[str, Callable[[Json | None], tuple[str | None, str]]]] = {
    "open_interest": _interest_text,
    "funding_rate": lambda block: (funding_text(block), ""),
    "liquidations": _liquidations_text,
}


def _market(signal: Json, decimals: int) -> list[Figure]:
    values = signal["observability"]["score_composition"]
    return [
        Figure("Price", formatting.price(signal["price"], decimals), formatting.old_price_age(signal) or ""),
        Figure("Change, 24 h", formatting.change(signal["details"].get("change_24h_pct"))),
        Figure("Volume, 24 h", formatting.amount(signal["details"]["vol24h"] or None), "in quote"),
        Figure("RSI, 4h", formatting.number(values.get("rsi"), 1)),
        Figure("ADX, 4h", formatting.number(values.get("adx"), 1)),
        Figure("EMA 50, 4h", formatting.price(values.get("ema50"), decimals)),
        Figure("EMA 200, 4h", formatting.price(values.get("ema200"), decimals)),
        Figure("ATR, 4h", formatting.price(values.get("atr"), decimals)),
    ]


def _lines(signal: Json, decimals: int) -> list[dict[str, Any]]:
    lines = [
        {
            "kind": kind,
            "pivots": [
                (formatting.timestamp(line[p]["time"]), f"{line[p]['value']:.1f}") for p in ("pivot_1", "pivot_2")
            ],
            "now": f"{line['current_value']:.1f}",
            "touches": f"{line['touches']}",
            "price": formatting.price(line["reverse_rsi_price"], decimals),
        }
        for kind, line in signal["observability"]["rsi_visuals"].items()
    ]
    broken = (signal["setup"] or {}).get("trendline")
    if broken is not None:
        lines.append(
            {
                "kind": "broken",
                "pivots": [
                    (formatting.timestamp(broken["start_time"]), f"{broken['start_rsi']:.1f}"),
                    (formatting.timestamp(broken["end_time"]), f"{broken['end_rsi']:.1f}"),
                ],
                "now": f"{broken['current_projected_rsi']:.1f}",
                "touches": None,
                "price": None,
            }
        )
    return lines
