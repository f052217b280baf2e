"""The engine on the plain reference's own inputs, and where the two differ."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from quant_assets.common.windows import Window
from quant_assets.derivatives.snapshot import open_interest_statistics
from quant_assets.signals import Features, discover_strategies, features_of, features_table, run_strategy

from . import plain_reference
from .made_markets import Market
from .plain_inputs import Bar

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
"""What the reference calls a line's values, and what the engine calls them."""
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
"""What the reference calls a value, and what the engine calls it."""


def differences(markets: Sequence[Market], window: Window) -> tuple[list[str], list[dict[str, dict[str, Any]]]]:
    """Compare the engine with the reference; returns a line for each difference, and what the reference says."""
    markets = sorted(markets, key=lambda market: market.symbol)
    plain = [plain_reference.analyse(market.ltf, market.htf, window.end_ms, market.inputs) for market in markets]
    table = features_table(candles(markets), symbol_map(markets), derivatives(markets, window), window)
    by_symbol = {features.symbol: features for features in features_of(table)}
    strategies = [s for s in discover_strategies().strategies if s.name in plain_reference.PARTS]
    assert len(strategies) == len(plain_reference.PARTS)
    tables: dict[str, dict[Any, dict[Any, Any]]] = {
        s.name: run_strategy(s, table).set_index("symbol").to_dict("index") for s in strategies
    }
    lines = []
    for market, said in zip(markets, plain, strict=True):
        where = f"{window.key} {market.symbol}"
        for name, rows in tables.items():
            lines += [f"{where} {name} {line}" for line in in_verdict(said[name], rows[market.symbol])]
        if not said["values"]["unusable"]:
            lines += [f"{where} features {line}" for line in in_values(said["values"], by_symbol[market.symbol])]
    return lines, plain


def in_verdict(said: dict[str, Any], row: dict[str, Any]) -> Iterator[str]:
    """Compare one verdict."""
    for key in ("strategy_name", "bias", "action", "reason", "side", "score", "entry", "sl", "tp", "rr"):
        yield from _unlike(key, said[key], row[NAMES.get(key, key)])
    for kind in ("part", "filter"):
        assert [key for key in row if key.startswith(f"{kind}_")] == [f"{kind}_{key}" for key in said[f"{kind}s"]]
        for key, value in said[f"{kind}s"].items():
            yield from _unlike(key, value, row[f"{kind}_{key}"])


def in_values(said: dict[str, Any], features: Features) -> Iterator[str]:
    """Compare what the verdicts are made from."""
    scales = {"obv_imbalance_value": 1.0, "pullback_depth": 1.0, "obv_slope": said["volume_20"]}
    for key, name in FEATURES.items():
        yield from _unlike(key, said[key], getattr(features, name), scales.get(key, 0.0))
    for prefix, line in (("resistance", said["resistance"]), ("support", said["support"])):
        for key, name in LINE.items():
            yield from _unlike(f"{prefix}.{key}", line and line[key], getattr(features, f"{prefix}_{name}"))
    trigger, line = said["trigger"], said["trigger_line"]
    yield from _unlike("trigger.side", trigger.side if trigger else "", features.trigger_side)
    yield from _unlike("trigger.s", trigger and trigger.s, features.trigger_index)
    yield from _unlike("trigger.strength", trigger and trigger.strength, features.trigger_strength)
    for key, name in LINE.items():
        if key not in ("price", "touches"):
            yield from _unlike(f"trigger.{key}", line and line[key], getattr(features, f"trigger_{name}"))
    yield from _unlike("trigger.touches", trigger and trigger.line.touches, features.trigger_touches)


def _unlike(key: str, plain: Any, engine: Any, scale: float = 0.0) -> Iterator[str]:
    """Say so where the two are not the same: texts, truths and nothing exactly, numbers to one part in 10⁹.

    `scale` is the size of what a difference was taken of; of that, too, one part in 10⁹ is nothing.
    """
    if isinstance(engine, float) and math.isnan(engine):
        engine = None
    both_numbers = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in (plain, engine))
    if both_numbers:
        same = math.isclose(plain, engine, rel_tol=RELATIVE, abs_tol=RELATIVE * scale)
    else:
        same = plain == engine and type(plain) is type(engine)
    if not same:
        yield f"{key}: plain {plain!r}, engine {engine!r}"


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
    """Return as much of a symbol map as signals read."""
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
