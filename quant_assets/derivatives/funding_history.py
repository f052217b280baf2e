"""The funding rates of markets over time, from what is stored: those of their exchanges, and of a provider."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from quant_assets.derivatives.bar_times import closed_ms
from quant_assets.derivatives.funding import FUNDING_HOURS, FUNDING_INTERVAL_HOURS
from quant_assets.markets import MarketKey, ResolutionRules, market_key

if TYPE_CHECKING:
    from quant_assets.derivatives.store import DerivativesStore

FUNDING: Final = "funding_rate"
COLUMNS: Final = ("exchange", "symbol", "closed_at_ms", "value")


def funding_history(
    store: DerivativesStore,
    symbol_map: pd.DataFrame,
    own_symbols: Collection[tuple[str, str]],
    markets: Collection[tuple[str, str]],
    rules: ResolutionRules,
    since_ms: int,
    until_ms: int,
) -> pd.DataFrame:
    """Return the stored funding rates of markets that became known in (`since_ms`, `until_ms`].

    `own_symbols` are exchanges and their own ids of markets, as snapshots have them. A market whose exchange gave rates
    has those, and a provider's only if they are of the same exchange; where both are of one moment, the exchange's.

    Columns: exchange, symbol, closed_at_ms (when it was known, epoch ms), value (percent that a LONG pays at each
    settlement of its exchange). Rates of another interval are converted. Raises StoreError.
    """
    own_names: dict[MarketKey, tuple[str, str]] = {market_key(*own, rules): own for own in own_symbols}
    rows: list[tuple[str, str, float, float]] = []
    of_exchange: set[tuple[str, str]] = set()
    own_rows = []
    for exchange, symbol in markets:
        own = own_names.get(market_key(exchange, symbol, rules), (exchange, symbol))
        for each in store.snapshots_of(*own, since_ms, until_ms):
            if each.funding_rate_pct is not None:
                rate = _for_settlement(exchange, each.funding_rate_pct, each.interval_hours)
                own_rows.append((exchange, symbol, float(each.closed_at_ms), rate))
                of_exchange.add((exchange, symbol))
    for (exchange, symbol), source in _provider_symbols(symbol_map, markets).items():
        if (exchange, symbol) in of_exchange and source["status"] != "resolved":
            continue
        interval = FUNDING_INTERVAL_HOURS.get(str(source["exchange"]).casefold())
        bars = store.bars(FUNDING, [str(source["symbol"])], since_ms // 1000 - 899, until_ms // 1000 - 899)
        rows += [
            (exchange, symbol, closed_ms(opened), _for_settlement(exchange, close, interval))
            for _, opened, *_, close in bars
        ]
    table = pd.DataFrame(rows + own_rows, columns=list(COLUMNS))
    return table.sort_values(["exchange", "symbol", "closed_at_ms"], kind="stable", ignore_index=True)


def _provider_symbols(
    symbol_map: pd.DataFrame, markets: Collection[tuple[str, str]]
) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the provider's symbol of each market that has one, with its exchange and status."""
    columns = {f"{FUNDING}_{name}": name for name in ("symbol", "exchange", "status")}
    if not set(columns) <= set(symbol_map.columns):
        return {}
    chosen = set(markets)
    names = zip(symbol_map["exchange"], symbol_map["symbol"], strict=True)
    rows = symbol_map[list(columns)].rename(columns=columns).to_dict("records")
    return {
        market: {str(name): value for name, value in row.items()}
        for market, row in zip(names, rows, strict=True)
        if market in chosen and row["symbol"]
    }


def _for_settlement(exchange: str, rate_pct: float, interval_hours: float | None) -> float:
    """Return a rate for the interval at which an exchange settles."""
    settles = FUNDING_INTERVAL_HOURS.get(exchange.casefold(), FUNDING_HOURS)
    return rate_pct * settles / (interval_hours or FUNDING_HOURS)
