"""What makes symbols of two sources name the same market."""

from __future__ import annotations

from typing import Final, NamedTuple

from quant_assets.markets.exchanges import EXCHANGES
from quant_assets.markets.rules import ResolutionRules
from quant_assets.markets.symbols import parse_symbol

_DEFAULT_QUOTES: Final = {
    ResolutionRules().exchange_key(exchange.name): exchange.default_quote for exchange in EXCHANGES
}


class MarketKey(NamedTuple):
    """The exchange (its `ResolutionRules.exchange_key`), asset, quote and multiplier of a market."""

    exchange: str
    asset: str
    quote: str
    multiplier: int


def market_key(exchange: str, symbol: str, rules: ResolutionRules) -> MarketKey:
    """Return the key of a market: two symbols of an exchange with equal keys name the same market.

    A symbol without a quote has the exchange's own: on Hyperliquid BTC is BTCUSDT.
    """
    parsed, exchange_key = parse_symbol(symbol, exchange, rules), rules.exchange_key(exchange)
    quote = parsed.quote or _DEFAULT_QUOTES.get(exchange_key, "")
    return MarketKey(exchange_key, parsed.asset, quote, parsed.multiplier)
