"""Name contracts as exchanges do.

These rules cover the emulator's own names only; `quant_assets.markets` resolves symbols in general.
"""

from __future__ import annotations

import re

from quant_assets.emulator.universe import MarketRow

ALIASES = {"XBT": "BTC", "PUMPFUN": "PUMP"}
CODES_BY_EXCHANGE = {"BINANCE": "A", "BYBIT": "6", "OKX": "3", "HYPERLIQUID": "H", "GATE": "Y"}
"""Coinalyze codes of the exchanges as candle files name them; KUCOIN, MEXC and BITGET have none."""

EXCHANGES_BY_CODE = {code: exchange for exchange, code in CODES_BY_EXCHANGE.items()}

_MULTIPLIED = frozenset("A6HS")  # exchanges whose contracts of cheap coins have a multiplier
_QUOTE = re.compile(r"(?P<base>.+?)[-_]?(?:USDT|USDC|USD)$")
_ZEROS = re.compile(r"(?P<many>10{3,7})(?P<rest>\D.*)$")


def contract_row(code: str, asset: str, multiplier: int = 1, *, in_quote: bool = False) -> MarketRow:
    """Return the market list row of an asset's perpetual, with the names that the exchange uses."""
    base = multiplied_base(code, asset, multiplier)
    symbol, on_exchange, quote = {
        "A": (f"{base}USDT_PERP.A", f"{base}USDT", "USDT"),
        "6": (f"{base}USDT.6", f"{base}USDT", "USDT"),
        "3": (f"{base}USDT_PERP.3", f"{base}-USDT-SWAP", "USDT"),
        "H": (f"{base}.H", base, "USD"),
        "Y": (f"{base}_USDT.Y", f"{base}_USDT", "USDT"),
        "K": (f"pf_{base.lower()}usd.K", f"pf_{base.lower()}usd", "USD"),
        "C": (f"{base}-PERP.C", f"{base}-PERP", "USDC"),
        "4": (f"{base}USDT_PERP.4", f"{base}-USDT", "USDT"),
        "8": (f"{base}USD_PERP.8", f"{base}-USD", "USD"),
        "0": (f"{base}USDT_PERP.0", f"{base}USDT", "USDT"),
        "S": (f"{base}USDT_PERP.S", f"{base}USDT", "USDT"),
    }[code]
    return MarketRow(
        symbol,
        code,
        on_exchange,
        base,
        quote,
        oi_lq_vol_denominated_in="QUOTE_ASSET" if in_quote else "BASE_ASSET",
        has_long_short_ratio_data=code in "A6",
    )


def multiplied_base(code: str, asset: str, multiplier: int) -> str:
    """Return the base as the exchange writes it: 1000BONK, 1MBABYDOGE, kBONK on Hyperliquid."""
    if multiplier == 1 or code not in _MULTIPLIED:
        return asset
    if multiplier == 1000 and code == "H":
        return f"k{asset}"
    return f"1M{asset}" if multiplier == 1_000_000 else f"{multiplier}{asset}"


def asset_of_base(base: str, *, on_hyperliquid: bool = False) -> tuple[str, int]:
    """Return asset and multiplier of a base: 1000BONK → BONK, 1000."""
    zeros = _ZEROS.match(base)
    if zeros:
        asset, multiplier = zeros["rest"], int(zeros["many"])
    elif re.match(r"1M\w{2,}$", base):
        asset, multiplier = base[2:], 1_000_000
    elif on_hyperliquid and re.match(r"k[A-Z]{2,}$", base):
        asset, multiplier = base[1:], 1000
    else:
        asset, multiplier = base, 1
    return ALIASES.get(asset, asset), multiplier


def asset_of_local_symbol(exchange: str, symbol: str) -> tuple[str, int]:
    """Return asset and multiplier of a candle file's symbol: KUCOIN, XBTUSDTM → BTC, 1."""
    plain = re.sub(r"[-_](?:PERPETUAL|PERP|SWAP)$", "", symbol)
    if exchange == "KUCOIN":
        plain = re.sub(r"(?<=USDT|USDC)M$|(?<=USD)M$", "", plain)
    if exchange == "BYBIT" and plain.endswith("PERP"):
        plain = plain.removesuffix("PERP")
    quoted = _QUOTE.match(plain)
    base = quoted["base"] if quoted else plain
    return asset_of_base(base, on_hyperliquid=exchange == "HYPERLIQUID")
