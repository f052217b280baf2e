"""Markets of exchanges for tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from quant_assets.providers.exchanges.market import ExchangeMarket

BTC = ExchangeMarket(
    symbol="BTCUSDT",
    base="BTC",
    quote="USDT",
    settle="USDT",
    is_perpetual=True,
    is_linear=True,
    is_active=True,
    contract_size=1.0,
    tick_size=0.1,
    listed_ms=None,
    quote_volume=5e6,
    last_price=60_000.0,
)


def market(symbol: str, **changes: Any) -> ExchangeMarket:
    """Return a market like BTC of another symbol."""
    return replace(BTC, **{"symbol": symbol, "base": symbol.removesuffix("USDT"), **changes})
