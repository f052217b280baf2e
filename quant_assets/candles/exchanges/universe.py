"""The universe: the markets of an exchange, and which of them are fetched."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Final

import pandas as pd

from quant_assets.candles.exchanges.config import ExchangesConfig, MarketChoice
from quant_assets.markets.rules import ResolutionRules
from quant_assets.markets.symbols import parse_symbol
from quant_assets.providers.exchanges.market import ExchangeMarket

#: A market that was selected stays so until its turnover is below this share of the bound, or its rank as far beyond.
KEPT_SHARE: Final = 0.8
#: ccxt writes ids into addresses as they are, where `../` would ask for another path.
_SYMBOL: Final = re.compile(r"[\w.-]{1,64}")
COLUMNS: Final = (
    *("exchange", "symbol", "base", "quote", "settle", "asset", "multiplier", "contract_size", "tick_size"),
    *("is_perpetual", "is_linear", "is_active", "listed_ms", "quote_volume_24h", "last_price", "selected", "reason"),
)
#: The columns of the lists of several exchanges.
LIST_COLUMNS: Final = (*COLUMNS, "fetched_at_ms", "selected_since_ms")


def universe_of(
    exchange: str,
    markets: Iterable[ExchangeMarket],
    config: ExchangesConfig,
    rules: ResolutionRules,
    selected_before: Collection[str] = (),
) -> pd.DataFrame:
    """Return one row for each market of an exchange, those with the largest turnover first.

    Columns: COLUMNS. `asset` and `multiplier` are those of the symbol (PEPE and 1000 for 1000PEPE),
    `quote_volume_24h` is NaN if unknown. `reason` is "" for a selected market, and else why it is not:
    `not_perpetual`, `inverse`, `inactive`, `name` (it has characters of addresses), `quote`, `excluded`, `volume` or
    `rank`. A market of `selected_before` stays selected until it is clearly below a bound (KEPT_SHARE), so that a
    market near a bound is not selected and left out in turn.
    """
    choice = config.of(exchange)
    table = pd.DataFrame([_row(exchange, market, choice, rules) for market in markets], columns=list(COLUMNS))
    table = table.sort_values(["quote_volume_24h", "symbol"], ascending=[False, True], ignore_index=True)
    before, taken = set(selected_before), 0
    reasons: list[str] = []
    for symbol, volume, kind in zip(table["symbol"], table["quote_volume_24h"], table["reason"], strict=True):
        share = KEPT_SHARE if symbol in before else 1.0
        if config.excludes(exchange, symbol):
            reason = "excluded"
        elif kind or config.includes(exchange, symbol):
            reason = kind
        elif not volume >= choice.min_quote_volume_24h * share:  # an unknown volume is too low
            reason = "volume"
        else:
            reason = "rank" if taken >= choice.top / share else ""
        taken += not reason
        reasons.append(reason)
    table["reason"] = reasons
    table["selected"] = table["reason"] == ""
    return table.astype(dict.fromkeys(("listed_ms", "tick_size", "quote_volume_24h", "last_price"), float))


def _row(exchange: str, market: ExchangeMarket, choice: MarketChoice, rules: ResolutionRules) -> dict[str, object]:
    parsed = parse_symbol(market.symbol, exchange, rules)
    return {
        "exchange": exchange,
        "symbol": market.symbol,
        "base": market.base,
        "quote": market.quote,
        "settle": market.settle,
        "asset": parsed.asset,
        "multiplier": parsed.multiplier,
        "contract_size": market.contract_size,
        "tick_size": market.tick_size,
        "is_perpetual": market.is_perpetual,
        "is_linear": market.is_linear,
        "is_active": market.is_active,
        "listed_ms": market.listed_ms,
        "quote_volume_24h": float("nan") if market.quote_volume is None else market.quote_volume,
        "last_price": float("nan") if market.last_price is None else market.last_price,
        "selected": False,
        "reason": _kind_reason(market, choice),
    }


def _kind_reason(market: ExchangeMarket, choice: MarketChoice) -> str:
    """Return why a market can never be fetched, "" if it can."""
    if not _SYMBOL.fullmatch(market.symbol):
        return "name"
    if not market.is_perpetual:
        return "not_perpetual"
    if not market.is_linear:
        return "inverse"
    if not market.is_active:
        return "inactive"
    return "" if {market.quote, market.settle} & set(choice.quotes) else "quote"
