"""Provide the twenty real market list rows of the resolution examples."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from quant_assets.markets import market_list_table

NOW = datetime(2026, 1, 19, 17, tzinfo=UTC)

EXCHANGES = (
    ("A", "Binance"),
    ("6", "Bybit"),
    ("3", "OKX"),
    ("H", "Hyperliquid"),
    ("4", "Huobi"),
    ("W", "WOO X"),
    ("C", "Coinbase"),
    ("K", "Kraken"),
    ("Y", "Gate.io"),
)


def row(
    symbol: str,
    on_exchange: str,
    base: str,
    quote: str,
    margined: str = "STABLE",
    long_short: bool | None = False,
    **fields: Any,
) -> dict[str, Any]:
    """Return a row as `/future-markets` gives it; the exchange is what follows the symbol's last point."""
    flags = {} if long_short is None else {"has_long_short_ratio_data": long_short}
    return {
        "symbol": symbol,
        "exchange": symbol.rpartition(".")[2],
        "symbol_on_exchange": on_exchange,
        "base_asset": base,
        "quote_asset": quote,
        "is_perpetual": True,
        "margined": margined,
        "expire_at": None,
        "oi_lq_vol_denominated_in": "BASE_ASSET",
        "has_ohlcv_data": True,
        "has_buy_sell_data": True,
        **flags,
        **fields,
    }


ROWS = (
    row("BTCUSDT_PERP.A", "BTCUSDT", "BTC", "USDT", long_short=True),
    row("BTCUSDC_PERP.A", "BTCUSDC", "BTC", "USDC", long_short=True),
    row("BTCU_PERP.A", "BTCU", "BTC", "U"),
    row("BTCUSD1_PERP.A", "BTCUSD1", "BTC", "USD1"),
    row("BTCUSD_PERP.A", "BTCUSD_PERP", "BTC", "USD", "COIN", oi_lq_vol_denominated_in="QUOTE_ASSET"),
    row("BTCUSDT.6", "BTCUSDT", "BTC", "USDT", long_short=True),
    row("BTCUSD.6", "BTCUSD", "BTC", "USD", "COIN", long_short=True),
    row("BTCPERP.6", "BTCPERP", "BTC", "USDC"),
    row("BTCUSDT_PERP.3", "BTC-USDT-SWAP", "BTC", "USDT"),
    row("BTC.H", "BTC", "BTC", "USD"),
    row("PUMPFUNUSDT.6", "PUMPFUNUSDT", "PUMP", "USDT", long_short=True),
    row("PUMPBTCUSDT_PERP.A", "PUMPBTCUSDT", "PUMPBTC", "USDT", long_short=True),
    row("pf_pumpusd.K", "pf_pumpusd", "PUMP", "USD"),
    row("PUMP-PERP.C", "PUMP-PERP", "PUMP", "USDC"),
    row("PUMP_USDT.Y", "PUMP_USDT", "PUMP", "USDT"),
    row("1000PEPEUSDT_PERP.A", "1000PEPEUSDT", "1000PEPE", "USDT", long_short=True),
    row("PEPEUSDT_PERP.3", "PEPE-USDT-SWAP", "PEPE", "USDT"),
    row("kPEPE.H", "kPEPE", "kPEPE", "USD"),
    row("KAITO.H", "KAITO", "KAITO", "USD"),
    row("龙虾USDT_PERP.A", "龙虾USDT", "龙虾", "USDT", long_short=True),
)


def table(rows: Iterable[dict[str, Any]] = ROWS) -> pd.DataFrame:
    """Return a coinalyze_markets table of these rows."""
    return market_list_table(EXCHANGES, rows, NOW)


def markets(*pairs: tuple[str, str]) -> pd.DataFrame:
    """Return a table of markets from (exchange, symbol) pairs."""
    return pd.DataFrame({"exchange": [e for e, _ in pairs], "symbol": [s for _, s in pairs]}, dtype="str")
