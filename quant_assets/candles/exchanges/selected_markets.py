"""The markets whose candles are fetched: in which order, and which of them have the bar of a window."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import pandas as pd

from quant_assets.candles.bar_store import BarStore
from quant_assets.common.timeframes import STEP_MS
from quant_assets.markets import MarketKey, ResolutionRules, market_key

Market = tuple[str, str]
"""Exchange, and the exchange's own id."""


@dataclass(frozen=True, slots=True)
class SelectedMarkets:
    """The selected markets: those of the watchlist in its order, and the others, the largest turnover first."""

    watched: tuple[Market, ...]
    others: tuple[Market, ...]

    @classmethod
    def of_tables(
        cls, markets: pd.DataFrame, exchanges: Collection[str], watchlist: pd.DataFrame, rules: ResolutionRules
    ) -> SelectedMarkets:
        """Take the selected markets of some exchanges from `exchange_markets`, and their order from a watchlist.

        `watchlist` has exchange, symbol, rank, or is empty. A market can have another name there, that of its file.
        """
        chosen = markets[markets["selected"].astype(bool) & markets["exchange"].isin(list(exchanges))]
        places: dict[MarketKey, int] = {}
        if len(watchlist):
            ranked = watchlist.sort_values("rank")
            for place, (exchange, symbol) in enumerate(zip(ranked["exchange"], ranked["symbol"], strict=True)):
                places.setdefault(market_key(exchange, symbol, rules), place)
        by_place: dict[Market, int] = {}
        others: list[Market] = []
        for market in zip(chosen["exchange"], chosen["symbol"], strict=True):
            key = market_key(*market, rules)
            if key in places:
                by_place[market] = places[key]
            else:
                others.append(market)
        return cls(tuple(sorted(by_place, key=lambda market: (by_place[market], market))), tuple(others))

    @property
    def in_order(self) -> tuple[Market, ...]:
        """All markets, in the order in which they are fetched."""
        return self.watched + self.others


def arrived_markets(store: BarStore, exchanges: Collection[str], end_ms: int) -> frozenset[Market]:
    """Return the markets that have every bar which closes at `end_ms` (epoch ms), or a later one."""
    closing = [timeframe for timeframe, step in STEP_MS.items() if end_ms % step == 0]
    found: set[Market] = set()
    for exchange in exchanges:
        by_timeframe = [
            _symbols_since(store, exchange, timeframe, end_ms - STEP_MS[timeframe]) for timeframe in closing
        ]
        found.update((exchange, symbol) for symbol in set.intersection(*by_timeframe))
    return frozenset(found)


def _symbols_since(store: BarStore, exchange: str, timeframe: str, open_ms: int) -> set[str]:
    """Return the symbols with a bar that opens at a time or later."""
    return {symbol for symbol, times in store.last_times(exchange, timeframe).items() if times.newest_ms >= open_ms}
