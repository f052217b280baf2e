"""The parts of a feed's signals that all strategies on one market share.

Required numbers are 0 where unknown, as existing consumers expect; `oi_metadata` and `derivatives` have null.
"""

from __future__ import annotations

from typing import Any, Final

from quant_assets.derivatives.datasets import ENTRIES, DatasetSpec
from quant_assets.markets.exchanges import EXCHANGES
from quant_assets.providers.registry import DEFAULT, provider_name
from quant_assets.signals import NONE, Features
from quant_assets.signals.features.model import column_value

EXCHANGE_TAGS: Final = {exchange.name.upper(): exchange.tag for exchange in EXCHANGES if exchange.tag}
#: The exchanges whose candles existing pages can draw, and the one that stands in for others.
CANDLE_SOURCES: Final = frozenset(exchange.name.upper() for exchange in EXCHANGES if exchange.has_candle_source)
DEFAULT_CANDLE_SOURCE: Final = "MEXC"
#: The datasets with a block in `derivatives`.
_SHOWN: Final = tuple(spec for spec in ENTRIES if spec.feed_keys)

Json = dict[str, Any]


def market_blocks(f: Features) -> Json:
    """Return the blocks that the signals of all strategies on one market share."""
    provider = provider_name(f.oi_symbol)
    return {
        "symbol": f.symbol,
        "display_symbol": f.display_symbol,
        "canonical_symbol": f.canonical_symbol,
        "exchange": f.exchange,
        "source": f.exchange.upper() if f.exchange.upper() in CANDLE_SOURCES else DEFAULT_CANDLE_SOURCE,
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
            "coinalyze_symbol": f.oi_symbol if provider == DEFAULT.name else None,
            "value": f.oi_value,
            "unit": f.oi_unit or None,
            "change_24h_pct": f.oi_change_24h_pct,
            "z_score": f.oi_z,
            "z_score_valid": f.oi_z_is_valid,
            "age_seconds": f.oi_age_seconds,
            "reference_exchange": f.oi_exchange or None,
            "provider": None if f.oi_value is None else provider or None,
            "z_score_provider": None if f.oi_z is None else f.oi_z_score_provider or None,
        },
        "derivatives": {spec.name: _dataset_block(f, spec) for spec in _SHOWN},
        "timestamp": f.window_end_ms,
    }


def _dataset_block(f: Features, spec: DatasetSpec) -> Json | None:
    """Return a market's block of a dataset, None if its value is unknown."""
    block = {key: column_value(f, spec.inputs[column]) for key, column in spec.feed_keys.items()}
    age_seconds = column_value(f, spec.age_column)
    is_extra = not spec.features  # its value may be neutral where nothing is known
    if next(iter(block.values())) is None or (is_extra and age_seconds is None):
        return None
    provider = column_value(f, spec.inputs["provider"])
    if "unit" in block:
        block["unit"] = block["unit"] or None
    return {**block, "age_seconds": age_seconds, "provider": provider or None}
