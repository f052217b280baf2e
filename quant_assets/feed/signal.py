"""Building one signal of the feed: one market and one strategy.

Required numbers are 0 where unknown, as existing consumers expect; `observability` leaves unknown numbers out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from quant_assets.evaluation import TrackRecord
from quant_assets.feed.market_blocks import Json
from quant_assets.signals import OWN_PREFIX, PENALTY, Features, Strategy, TrendLine, line_equation, rounded

_DERIVATIVE_PARTS: Final = frozenset({"oi_flow", "sentiment"})
#: Score parts that existing consumers read under other names.
_DETAIL_NAMES: Final = {
    "trend": "trendScore",
    "structure": "structureScore",
    "money_flow": "moneyFlowScore",
    "timing": "timingScore",
}
_OPTIONAL_DETAIL_NAMES: Final = {"geometry": "geometryScore", "momentum": "momentumScore"}
_COMPOSED_PARTS: Final = (*_DETAIL_NAMES, *_OPTIONAL_DETAIL_NAMES, "oi_flow", "sentiment")


def build_signal(strategy: Strategy, f: Features, row: Mapping[str, Any], blocks: Json, record: TrackRecord) -> Json:
    """Return one signal: `row` is the market's row of the strategy's signal table, `blocks` the market's blocks."""
    parts = {part: row[f"part_{part}"] for part in strategy.parts}
    filters = {name: _nullable_bool(row[f"filter_{name}"]) for name in strategy.filters}
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
        "observability": {**_observability(f, parts, _without_unknown(filters)), **_indicators(row)},
        "meta": {"htfInterval": "4h", "ltfInterval": "15m", "strategy_type": strategy.strategy_type},
        "conflict": None,
        "track_record": record.of_signal(strategy.name, row["side"], score) if setup else None,
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


def _details(f: Features, parts: Mapping[str, float], row: Mapping[str, Any]) -> Json:
    score = row["score"]
    base = sum(
        -points if part == PENALTY else points for part, points in parts.items() if part not in _DERIVATIVE_PARTS
    )
    longs, shorts = f.liquidated_longs_1h or 0.0, f.liquidated_shorts_1h or 0.0
    return {
        "total": score,
        "reason": row["reason"] or None,
        # Tables of version 0.1 lack these columns.
        "reason_value": _nullable_float(row.get("reason_value")),
        "reason_bound": _nullable_float(row.get("reason_bound")),
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
        "score_composition": _without_unknown(composition),
        "rsi_visuals": {kind: _line(line) for kind, line in lines.items() if line is not None},
        "calculated_at": f.window_end_ms,
        "candle_index": f.htf_bars - 1,
    }


def _indicators(row: Mapping[str, Any]) -> Json:
    """Return the values of the strategy's own indicators that are known, as a block; nothing if it has none."""
    own = {name.removeprefix(OWN_PREFIX): value for name, value in row.items() if name.startswith(OWN_PREFIX)}
    known = {name: value for name, value in own.items() if _nullable_float(value) is not None}
    return {"indicators": known} if own else {}


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


def _without_unknown(values: Mapping[str, Any]) -> Json:
    """Leave unknown values out, since consumers format every number without a check."""
    return {name: value for name, value in values.items() if value is not None}


def _nullable_float(value: float | None) -> float | None:
    return None if value is None or value != value else value  # noqa: PLR0124 - NaN


def _nullable_bool(value: Any) -> bool | None:
    """Return a nullable bool as Parquet and pandas may return it: None and NaN are None."""
    return None if value is None or value != value else bool(value)  # noqa: PLR0124 - NaN
