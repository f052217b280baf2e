"""Connect ccxt's own classes to local exchanges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import ccxt

CLASSES = {
    "BINANCE": "binanceusdm",
    "BITGET": "bitget",
    "BYBIT": "bybit",
    "GATE": "gate",
    "HYPERLIQUID": "hyperliquid",
    "KUCOIN": "kucoinfutures",
    "MEXC": "mexc",
    "OKX": "okx",
}
#: Options that ask for perpetuals alone.
MINIMAL: dict[str, dict[str, Any]] = {
    "BINANCE": {},
    "BITGET": {"fetchMarkets": {"types": ["swap"]}, "defaultType": "swap"},
    "BYBIT": {"fetchMarkets": {"types": ["linear"]}, "defaultType": "swap"},
    "GATE": {
        "fetchMarkets": {"types": ["swap"]},
        "defaultType": "swap",
        "swap": {"fetchMarkets": {"settlementCurrencies": ["usdt"]}},
    },
    "HYPERLIQUID": {"fetchMarkets": {"types": ["swap"]}},
    "KUCOIN": {},
    "MEXC": {"defaultType": "swap"},
    "OKX": {"fetchMarkets": {"types": ["swap"]}, "defaultType": "swap"},
}


def connect(name: str, url: str, now_ms: Callable[[], int], *, minimal: bool = True) -> Any:
    """Return ccxt's class for an exchange, its requests sent to `url`, its own limit off, its clock set."""
    options: dict[str, Any] = {"enableRateLimit": False, "timeout": 5000}
    if minimal:
        options |= {"options": MINIMAL[name]}
    client = getattr(ccxt, CLASSES[name])(options)
    client.urls["api"] = moved(client.urls["api"], url)
    client.milliseconds = now_ms
    if minimal:
        client.has["fetchCurrencies"] = False
    return client


def moved(addresses: Any, url: str) -> Any:
    """Return ccxt's addresses with another scheme and host, and the same path."""
    if isinstance(addresses, dict):
        return {key: moved(value, url) for key, value in addresses.items()}
    if isinstance(addresses, str):
        return url + urlsplit(addresses).path
    return addresses


def symbol_of(client: Any, id_: str) -> str:
    """Return ccxt's symbol of a contract; on Hyperliquid its id is a position, and the coin is elsewhere."""
    (symbol,) = [
        symbol
        for symbol, market in client.markets.items()
        if (market.get("baseName") if client.id == "hyperliquid" else market["id"]) == id_
    ]
    return str(symbol)
