"""One signal of the feed: what consumers read of one market and one strategy.

Required numbers are 0 where nothing is known, as old consumers expect; `oi_metadata` and `derivatives` say null
instead, and `observability` leaves it out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from quant_assets.signals import NONE, PENALTY, Features, Strategy, TrendLine, line_equation, rounded

EXCHANGE_TAGS: Final = {
    "HYPERLIQUID": "HL",
    "BINANCE": "BIN",
    "BYBIT": "BYB",
    "OKX": "OKX",
    "KUCOIN": "KUC",
    "MEXC": "MEX",
}
#: The exchanges that existing pages can draw candles of; they draw those of the last one for all others.
CANDLE_SOURCES: Final = ("HYPERLIQUID", "KUCOIN", "MEXC")
#: Who gave the derivative data.
PROVIDER: Final = "coinalyze"
_DERIVATIVE_PARTS: Final = frozenset({"oi_flow", "sentiment"})
#: Parts of a score that old consumers read under a name of their own.
_DETAIL_NAMES: Final = {
    "trend": "trendScore",
    "structure": "structureScore",
    "money_flow": "moneyFlowScore",
    "timing": "timingScore",
}
_OPTIONAL_DETAIL_NAMES: Final = {"geometry": "geometryScore", "momentum": "momentumScore"}
_COMPOSED_PARTS: Final = (*_DETAIL_NAMES, *_OPTIONAL_DETAIL_NAMES, "oi_flow", "sentiment")

Json = dict[str, Any]


def market_blocks(f: Features) -> Json:
    """Return what the signals of all strategies on one market share."""
    return {
        "symbol": f.symbol,
        "display_symbol": f.display_symbol,
        "canonical_symbol": f.canonical_symbol,
        "exchange": f.exchange,
        "source": f.exchange.upper() if f.exchange.upper() in CANDLE_SOURCES else CANDLE_SOURCES[-1],
        "exchange_tag": EXCHANGE_TAGS.get(f.exchange.upper(), f.exchange[:3].upper()),
        "price": f.price,
        "price_age_seconds": f.price_age_seconds,
        "htf": {
            "trend": f.htf_trend or "DOWN",
            "bias": NONE,  # that of the signal, which is not known yet
            "ema_bias": f.htf_bias,
            "adx": f.htf_adx or 0.0,
            "ema50": f.htf_ema50 or 0.0,
            "ema200": f.htf_ema200 or 0.0,
        },
        "ltf": {
            "rsi": f.ltf_rsi or 0.0,
            "adx": f.ltf_adx or 0.0,
            "bias": f.ltf_bias,
            "obvImbalance": f.obv_imbalance,
            "divergence": f.divergence,
            "isPullback": f.is_pullback,
            "pullbackDepth": f.pullback_depth or 0.0,
            "volumeOk": f.is_volume_quiet,
            "momentumOk": f.ltf_rsi is not None and 30 < f.ltf_rsi < 70,
            "isOverextended": f.is_overextended,
        },
        "oi_metadata": {
            "status": f.oi_status,
            "coinalyze_symbol": f.oi_symbol or None,
            "value": f.oi_value,
            "unit": f.oi_unit or None,
            "change_24h_pct": f.oi_change_24h_pct,
            "z_score": f.oi_z,
            "z_score_valid": f.oi_z_is_valid,
            "age_seconds": f.oi_age_seconds,
            "reference_exchange": f.oi_exchange or None,
            "provider": None if f.oi_value is None else PROVIDER,
            "z_score_provider": None,
        },
        "derivatives": {
            "funding_rate": _aged(f.funding_rate_pct, f.funding_age_seconds, interval_hours=f.funding_interval_hours),
            "long_short_ratio": _aged(f.long_short_ratio, f.long_short_age_seconds),
            "liquidations": None
            if f.liquidated_longs_24h is None
            else {
                "longs_1h": f.liquidated_longs_1h,
                "shorts_1h": f.liquidated_shorts_1h,
                "longs_24h": f.liquidated_longs_24h,
                "shorts_24h": f.liquidated_shorts_24h,
                "unit": f.liquidations_unit or None,
                "age_seconds": f.liquidations_age_seconds,
                "provider": PROVIDER,
            },
        },
        "timestamp": f.window_end_ms,
    }


def signal(strategy: Strategy, f: Features, row: Mapping[str, Any], blocks: Json) -> Json:
    """Return one signal: `row` is the market's row of the strategy's signal table, `blocks` its shared blocks."""
    parts = {part: row[f"part_{part}"] for part in strategy.parts}
    passed = {name: _truth(row[f"filter_{name}"]) for name in strategy.filters}
    score = row["score"]
    setup = _setup(strategy, f, row) if row["side"] else None
    return {
        "strategy_name": strategy.name,
        "strategy": strategy.name,
        **blocks,
        "htf": {**blocks["htf"], "bias": row["bias"]},
        "score": score,
        "total_score": score,
        "rr": row["rr"],
        "bias": row["bias"],
        "action": row["action"],
        "entry": setup["entry"] if setup else None,
        "stop_loss": setup["sl"] if setup else None,
        "take_profit": setup["tp"] if setup else None,
        "setup": setup,
        "details": _details(f, parts, row),
        "observability": _observability(f, parts, _known(passed)),
        "meta": {"htfInterval": "4h", "ltfInterval": "15m", "strategy_type": strategy.strategy_type},
        "conflict": None,
        "track_record": None,
    }


def conflicts(entries: Sequence[Json]) -> None:
    """Name in each setup among the signals of a window the setups of the other side on the same asset."""
    setups: dict[str, list[Json]] = {}
    for entry in entries:
        if entry["setup"] is not None:
            setups.setdefault(entry["canonical_symbol"], []).append(entry)
    for of_asset in setups.values():
        for entry in of_asset:
            others = [other for other in of_asset if other["action"] != entry["action"]]
            entry["conflict"] = [
                {**{name: other[name] for name in ("exchange", "symbol", "strategy_name")}, "side": other["action"]}
                for other in others
            ] or None


def _setup(strategy: Strategy, f: Features, row: Mapping[str, Any]) -> Json:
    setup: Json = {
        "side": row["side"],
        "entry": row["entry"],
        "sl": row["stop_loss"],
        "tp": row["take_profit"],
        "rr": row["rr"],
    }
    if strategy.strategy_type == "breakout" and f.trigger is not None:
        line = f.trigger
        setup["trendline"] = {
            "m": line.slope,
            "c": line.intercept,
            "start_idx": line.start_index,
            "start_rsi": line.start_rsi,
            "start_time": line.start_ms,
            "end_idx": line.end_index,
            "end_rsi": line.end_rsi,
            "end_time": line.end_ms,
            "current_projected_rsi": line.at_last_bar,
        }
    return setup


def _details(f: Features, parts: Mapping[str, float], row: Mapping[str, Any]) -> Json:
    score = row["score"]
    base = sum(
        -points if part == PENALTY else points for part, points in parts.items() if part not in _DERIVATIVE_PARTS
    )
    longs, shorts = f.liquidated_longs_1h or 0.0, f.liquidated_shorts_1h or 0.0
    return {
        "total": score,
        "reason": row["reason"] or None,
        # Tables of version 0.1 do not have the two.
        "reason_value": _number(row.get("reason_value")),
        "reason_bound": _number(row.get("reason_bound")),
        **{name: parts.get(part, 0.0) for part, name in _DETAIL_NAMES.items()},
        **{name: parts[part] for part, name in _OPTIONAL_DETAIL_NAMES.items() if part in parts},
        "vol24h": f.vol24h or 0.0,
        "change_24h_pct": f.change_24h_pct,
        "score_breakdown": {**parts, "base": rounded(base), "total": score},
        "oi_meta": {"oi_slope": f.oi_slope or 0.0, "oi_points": f.oi_points, "oi_avg": f.oi_average or 0.0},
        "sentiment_meta": {
            "liq_longs": longs,
            "liq_shorts": shorts,
            "liq_ratio": longs / (longs + shorts) if longs + shorts > 0 else 0.0,
            "top_ls_ratio": f.long_short_ratio or 0.0,
        },
    }


def _observability(f: Features, parts: Mapping[str, float], filters: Mapping[str, bool]) -> Json:
    lines = {"resistance": f.resistance, "support": f.support}
    composition = {
        "rsi": f.htf_rsi,
        "adx": f.htf_adx,
        "ema50": f.htf_ema50,
        "ema200": f.htf_ema200,
        "close_price": f.price,
        "atr": f.htf_atr,
        **{f"{part}_score": parts.get(part) for part in _COMPOSED_PARTS},
        "oi_z_score": f.oi_z,
        "oi_z_score_valid": f.oi_z_is_valid,
        "obv_slope": f.obv_slope,
        "oi_available": f.oi_value is not None,
        "funding_available": f.funding_rate_pct is not None,
        "ls_ratio_available": f.long_short_ratio is not None,
        "liquidations_available": f.liquidated_longs_24h is not None,
        "filters_passed": filters,
    }
    return {
        "score_composition": _known(composition),
        "rsi_visuals": {kind: _line(line) for kind, line in lines.items() if line is not None},
        "calculated_at": f.window_end_ms,
        "candle_index": f.htf_bars - 1,
    }


def _line(line: TrendLine) -> Json:
    return {
        "pivot_1": {"index": line.start_index, "value": line.start_rsi, "time": line.start_ms},
        "pivot_2": {"index": line.end_index, "value": line.end_rsi, "time": line.end_ms},
        "slope": line.slope,
        "intercept": line.intercept,
        "equation": line_equation(line.slope, line.intercept),
        "touches": line.touches,
        "current_value": line.at_last_bar,
        "reverse_rsi_price": line.reverse_price,
    }


def _aged(value: float | None, age_seconds: float | None, **more: float | None) -> Json | None:
    return None if value is None else {"value": value, **more, "age_seconds": age_seconds, "provider": PROVIDER}


def _known(values: Mapping[str, Any]) -> Json:
    """Return what is known: consumers format every number that is there without looking."""
    return {name: value for name, value in values.items() if value is not None}


def _number(value: float | None) -> float | None:
    return None if value is None or value != value else value  # noqa: PLR0124 - NaN alone differs from itself


def _truth(value: Any) -> bool | None:
    """Read a nullable truth value as Parquet and pandas may give it back."""
    return None if value is None or value != value else bool(value)  # noqa: PLR0124 - NaN alone differs from itself
