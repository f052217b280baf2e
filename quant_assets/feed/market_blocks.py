"""The parts of a feed's signals that all strategies on one market share.

Required numbers are 0 where unknown, as existing consumers expect; `oi_metadata` and `derivatives` have null.
"""

from __future__ import annotations

from typing import Any, Final

from quant_assets.signals import NONE, Features

EXCHANGE_TAGS: Final = {
    "HYPERLIQUID": "HL",
    "BINANCE": "BIN",
    "BYBIT": "BYB",
    "OKX": "OKX",
    "KUCOIN": "KUC",
    "MEXC": "MEX",
}
#: The exchanges whose candles existing pages can draw; for other exchanges they draw those of the last one.
CANDLE_SOURCES: Final = ("HYPERLIQUID", "KUCOIN", "MEXC")
#: The provider of the derivative data.
PROVIDER: Final = "coinalyze"

Json = dict[str, Any]


def market_blocks(f: Features) -> Json:
    """Return the blocks that the signals of all strategies on one market share."""
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
            "bias": NONE,  # replaced by each signal's own bias
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


def _aged(value: float | None, age_seconds: float | None, **extra: float | None) -> Json | None:
    return None if value is None else {"value": value, **extra, "age_seconds": age_seconds, "provider": PROVIDER}
