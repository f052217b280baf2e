"""Run the engine on the reference's inputs, and list where their results differ."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from quant_assets.common.windows import Window
from quant_assets.derivatives.open_interest import open_interest_statistics
from quant_assets.signals import Features, discover_strategies, features_of, features_table, run_strategy

from . import reference_strategies
from .random_markets import Market
from .reference_inputs import Bar

EXCHANGE = "MADE"
RELATIVE = 1e-9
NAMES = {"sl": "stop_loss", "tp": "take_profit"}
LINE = {
    "a": "start_index",
    "b": "end_index",
    "value_a": "start_rsi",
    "value_b": "end_rsi",
    "time_a": "start_ms",
    "time_b": "end_ms",
    "slope": "slope",
    "intercept": "intercept",
    "touches": "touches",
    "at_last": "at_last_bar",
    "price": "reverse_price",
}
"""Name of a line's value in the reference → its name in the features."""
FEATURES = {
    "price": "price",
    "ltf_bars": "ltf_bars",
    "htf_bars": "htf_bars",
    "htf_rsi": "htf_rsi",
    "ltf_rsi": "ltf_rsi",
    "htf_adx": "htf_adx",
    "ltf_adx": "ltf_adx",
    "htf_atr": "htf_atr",
    "ltf_atr": "ltf_atr",
    "htf_ema50": "htf_ema50",
    "htf_ema200": "htf_ema200",
    "htf_trend": "htf_trend",
    "vol24h": "vol24h",
    "change_24h_pct": "change_24h_pct",
    "legacy_bias": "trend_bias",
    "pullback_depth": "pullback_depth",
    "is_pullback": "is_pullback",
    "obv_imbalance": "obv_imbalance",
    "obv_imbalance_value": "obv_lead",
    "obv_slope": "obv_slope",
    "divergence": "divergence",
    "overextended": "is_overextended",
    "volume_quiet": "is_volume_quiet",
    "oi_z": "oi_z",
    "oi_z_score_valid": "oi_z_is_valid",
}
"""Name of a value in the reference → its name in the features."""


def differences(markets: Sequence[Market], window: Window) -> tuple[list[str], list[dict[str, dict[str, Any]]]]:
    """Compare the engine with the reference; return a line for each difference, and the results of the reference."""
    markets = sorted(markets, key=lambda market: market.symbol)
    references = [
        reference_strategies.analyse(market.ltf, market.htf, window.end_ms, market.inputs) for market in markets
    ]
    table = features_table(candles(markets), symbol_map(markets), derivatives(markets, window), window)
    by_symbol = {features.symbol: features for features in features_of(table)}
    strategies = [s for s in discover_strategies().strategies if s.name in reference_strategies.PARTS]
    assert len(strategies) == len(reference_strategies.PARTS)
    tables: dict[str, dict[Any, dict[Any, Any]]] = {
        s.name: run_strategy(s, table).set_index("symbol").to_dict("index") for s in strategies
    }
    lines = []
    for market, reference in zip(markets, references, strict=True):
        where = f"{window.key} {market.symbol}"
        for name, rows in tables.items():
            lines += [f"{where} {name} {line}" for line in verdict_differences(reference[name], rows[market.symbol])]
        if not reference["values"]["unusable"]:
            lines += [
                f"{where} features {line}" for line in value_differences(reference["values"], by_symbol[market.symbol])
            ]
    return lines, references


def verdict_differences(reference: dict[str, Any], row: dict[str, Any]) -> Iterator[str]:
    """Compare a verdict of the reference with a row of a signal table."""
    for key in ("strategy_name", "bias", "action", "reason", "side", "score", "entry", "sl", "tp", "rr"):
        yield from _difference(key, reference[key], row[NAMES.get(key, key)])
    for kind in ("part", "filter"):
        assert [key for key in row if key.startswith(f"{kind}_")] == [f"{kind}_{key}" for key in reference[f"{kind}s"]]
        for key, value in reference[f"{kind}s"].items():
            yield from _difference(key, value, row[f"{kind}_{key}"])


def value_differences(reference: dict[str, Any], features: Features) -> Iterator[str]:
    """Compare the values behind the verdicts with the features."""
    scales = {"obv_imbalance_value": 1.0, "pullback_depth": 1.0, "obv_slope": reference["volume_20"]}
    for key, name in FEATURES.items():
        yield from _difference(key, reference[key], getattr(features, name), scales.get(key, 0.0))
    for prefix, line in (("resistance", reference["resistance"]), ("support", reference["support"])):
        for key, name in LINE.items():
            yield from _difference(f"{prefix}.{key}", line and line[key], getattr(features, f"{prefix}_{name}"))
    trigger, line = reference["trigger"], reference["trigger_line"]
    yield from _difference("trigger.side", trigger.side if trigger else "", features.trigger_side)
    yield from _difference("trigger.s", trigger and trigger.s, features.trigger_index)
    yield from _difference("trigger.strength", trigger and trigger.strength, features.trigger_strength)
    for key, name in LINE.items():
        if key not in ("price", "touches"):
            yield from _difference(f"trigger.{key}", line and line[key], getattr(features, f"trigger_{name}"))
    yield from _difference("trigger.touches", trigger and trigger.line.touches, features.trigger_touches)


def _difference(key: str, expected: Any, actual: Any, scale: float = 0.0) -> Iterator[str]:
    """Yield a line if the values differ: numbers by more than one part in 10⁹, anything else at all.

    `scale` is the size of the numbers that the value is a difference of; one part in 10⁹ of that is tolerated too.
    """
    if isinstance(actual, float) and math.isnan(actual):
        actual = None
    both_numbers = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in (expected, actual))
    if both_numbers:
        same = math.isclose(expected, actual, rel_tol=RELATIVE, abs_tol=RELATIVE * scale)
    else:
        same = expected == actual and type(expected) is type(actual)
    if not same:
        yield f"{key}: expected {expected!r}, actual {actual!r}"


def candles(markets: Sequence[Market]) -> pd.DataFrame:
    """Put markets, sorted by symbol, into a candles table."""
    names, timeframes, bars = [], [], []
    for market in markets:
        for timeframe, some in (("15m", market.ltf), ("4h", market.htf)):
            names += [market.symbol] * len(some)
            timeframes += [timeframe] * len(some)
            bars += some
    numbers = pd.DataFrame(bars, columns=list(Bar._fields))
    return numbers.assign(
        exchange=pd.Categorical([EXCHANGE] * len(bars)),
        symbol=pd.Categorical(names),
        timeframe=pd.Categorical(timeframes),
    )


def symbol_map(markets: Sequence[Market]) -> pd.DataFrame:
    """Return the columns of a symbol map that signals read."""
    return pd.DataFrame(
        {
            "exchange": EXCHANGE,
            "symbol": [market.symbol for market in markets],
            "canonical_symbol": [market.symbol for market in markets],
            "display_symbol": [market.symbol for market in markets],
            "status": [market.inputs.oi_status for market in markets],
            "open_interest_symbol": "",
            "open_interest_exchange": "",
            "open_interest_unit": "",
        }
    )


def derivatives(markets: Sequence[Market], window: Window) -> dict[str, pd.DataFrame]:
    """Return the four derivative tables of the markets' inputs."""
    rows: dict[str, list[dict[str, Any]]] = {
        name: [] for name in ("open_interest", "funding_rate", "long_short_ratio", "liquidations")
    }
    for market in markets:
        known = market.inputs
        row = {"exchange": EXCHANGE, "symbol": market.symbol, "coinalyze_symbol": "", "source_exchange": ""}
        row |= {"status": known.oi_status, "unit": ""}
        statistics = {"value": math.nan, "z_score": math.nan, "points": 0.0, "average": math.nan, "slope": math.nan}
        if known.oi_closes:
            statistics = open_interest_statistics(np.array(known.oi_closes))
        rows["open_interest"].append({**row, "closed_at_ms": _number(known.oi_closed_at_ms), **statistics})
        closed = {"closed_at_ms": float(window.end_ms)}
        funding = {"funding_rate_pct": _number(known.funding_pct), "interval_hours": _number(known.funding_hours)}
        rows["funding_rate"].append({**row, **closed, **funding})
        ratio = {"long_short_ratio": _number(known.ls_ratio), "longs_pct": math.nan, "shorts_pct": math.nan}
        rows["long_short_ratio"].append({**row, **closed, **ratio})
        sums = known.liquidations or dict.fromkeys(("longs_1h", "shorts_1h", "longs_24h", "shorts_24h"), math.nan)
        rows["liquidations"].append({**row, **closed, **sums})
    return {name: pd.DataFrame(some) for name, some in rows.items()}


def _number(value: float | None) -> float:
    return math.nan if value is None else value
