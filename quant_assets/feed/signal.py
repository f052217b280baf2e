"""One signal of the feed: what consumers read of one market and one strategy.

Here: the names and shapes of `master-feed`'s contract, filled from a market's features and a row of a signal table.
Required numbers are 0 where nothing is known, as old consumers expect; `oi_metadata`, `derivatives` and
`observability` say null instead. Not here: the feed around the signals (build.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from quant_assets.signals import Features, Strategy, TrendLine, line_equation

EXCHANGE_TAGS: Final = {
    "HYPERLIQUID": "HL",
    "BINANCE": "BIN",
    "BYBIT": "BYB",
    "OKX": "OKX",
    "KUCOIN": "KUC",
    "MEXC": "MEX",
}
#: Parts of a score that old consumers read under a name of their own.
_DETAIL_NAMES: Final = {
    "trend": "trendScore",
    "structure": "structureScore",
    "money_flow": "moneyFlowScore",
    "timing": "timingScore",
}
_OPTIONAL_DETAIL_NAMES: Final = {"geometry": "geometryScore", "momentum": "momentumScore"}

Json = dict[str, Any]


def market_blocks(f: Features) -> Json:
    """Return what the signals of all strategies on one market share."""
    return {
        "symbol": f.symbol,
        "display_symbol": f.display_symbol,
        "canonical_symbol": f.canonical_symbol,
        "exchange": f.exchange,
        "source": f.exchange,
        "exchange_tag": EXCHANGE_TAGS.get(f.exchange.upper(), f.exchange[:3].upper()),
        "price": f.price,
        "htf": {
            "trend": f.htf_trend or "DOWN",
            "bias": f.htf_bias,
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
            "z_score": f.oi_z,
            "z_score_valid": f.oi_z_is_valid,
            "age_seconds": f.oi_age_seconds,
            "reference_exchange": f.oi_exchange or None,
        },
        "derivatives": {
            "funding_rate": _aged(f.funding_rate_pct, f.funding_age_seconds),
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
            },
        },
        "timestamp": f.window_end_ms,
    }


def signal(strategy: Strategy, f: Features, row: Mapping[str, Any], blocks: Json) -> Json:
    """Return one signal: `row` is the market's row of the strategy's signal table, `blocks` its shared blocks."""
    parts = {part: row[f"part_{part}"] for part in strategy.parts}
    filters = {name: _truth(row[f"filter_{name}"]) for name in strategy.filters}
    score = row["score"]
    setup = _setup(strategy, f, row) if row["side"] else None
    return {
        "strategy_name": strategy.name,
        "strategy": strategy.name,
        **blocks,
        "score": score,
        "total_score": score,
        "rr": row["rr"],
        "bias": row["bias"],
        "action": row["action"],
        "entry": setup["entry"] if setup else None,
        "stop_loss": setup["sl"] if setup else None,
        "take_profit": setup["tp"] if setup else None,
        "setup": setup,
        "details": _details(f, parts, score, row["reason"]),
        "observability": _observability(f, parts, filters),
        "meta": {"htfInterval": "4h", "ltfInterval": "15m", "strategy_type": strategy.strategy_type},
    }


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


def _details(f: Features, parts: Mapping[str, float], score: float, reason: str) -> Json:
    longs, shorts = f.liquidated_longs_1h or 0.0, f.liquidated_shorts_1h or 0.0
    return {
        "total": score,
        "reason": reason or None,
        **{name: parts.get(part, 0.0) for part, name in _DETAIL_NAMES.items()},
        **{name: parts.get(part) for part, name in _OPTIONAL_DETAIL_NAMES.items()},
        "vol24h": f.vol24h or 0.0,
        "score_breakdown": {**parts, "total": score},
        "oi_meta": {"oi_slope": f.oi_slope or 0.0, "oi_points": f.oi_points, "oi_avg": f.oi_average or 0.0},
        "sentiment_meta": {
            "liq_longs": longs,
            "liq_shorts": shorts,
            "liq_ratio": longs / (longs + shorts) if longs + shorts > 0 else 0.0,
            "top_ls_ratio": f.long_short_ratio or 0.0,
        },
    }


def _observability(f: Features, parts: Mapping[str, float], filters: Mapping[str, bool | None]) -> Json:
    lines = {"resistance": f.resistance, "support": f.support}
    return {
        "score_composition": {
            "rsi": f.htf_rsi,
            "adx": f.htf_adx,
            "ema50": f.htf_ema50,
            "ema200": f.htf_ema200,
            "close_price": f.price,
            "atr": f.htf_atr,
            "trend_score": parts.get("trend"),
            "structure_score": parts.get("structure"),
            "money_flow_score": parts.get("money_flow"),
            "timing_score": parts.get("timing"),
            "geometry_score": parts.get("geometry"),
            "momentum_score": parts.get("momentum"),
            "oi_flow_score": parts.get("oi_flow"),
            "sentiment_score": parts.get("sentiment"),
            "oi_z_score": f.oi_z,
            "oi_z_score_valid": f.oi_z_is_valid,
            "obv_slope": f.obv_slope,
            "oi_available": f.oi_value is not None,
            "funding_available": f.funding_rate_pct is not None,
            "ls_ratio_available": f.long_short_ratio is not None,
            "liquidations_available": f.liquidated_longs_24h is not None,
            "filters_passed": {"oi_zscore": None, "obv_slope": None, **filters},
        },
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


def _aged(value: float | None, age_seconds: float | None) -> Json | None:
    return None if value is None else {"value": value, "age_seconds": age_seconds}


def _truth(value: Any) -> bool | None:
    """Read a nullable truth value as Parquet and pandas may give it back."""
    return None if value is None or value != value else bool(value)  # noqa: PLR0124 - NaN alone differs from itself
