"""What trades are followed on: bars, funding rates and costs."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
import pandas as pd

from quant_assets.evaluation.costs import NO_RATES, Costs, Funding, FundingRates
from quant_assets.evaluation.exits import Exits, Orders, follow
from quant_assets.evaluation.price_bars import Floats, Ints, JoinedBars, Market, PriceBars, newest_close_ms
from quant_assets.evaluation.results import Results, results

DEFAULT_COSTS: Final = Costs()
NO_MARKETS: Final[Mapping[Market, FundingRates]] = MappingProxyType({})


class Prices:
    """Bars of each market, its funding rates where they are known, and what a trade costs."""

    def __init__(
        self,
        bars: Mapping[Market, PriceBars],
        rates: Mapping[Market, FundingRates] = NO_MARKETS,
        costs: Costs = DEFAULT_COSTS,
    ) -> None:
        self.bars = JoinedBars.of(bars)
        self.costs = costs
        self._rates = rates
        newest = newest_close_ms(self.bars)
        exchanges = [exchange for exchange, _ in self.bars.markets]
        self.newest_close_ms = np.array([newest[exchange] for exchange in exchanges], dtype=np.int64)
        """The close of the newest bar of the exchange of each market, by the market's number, epoch ms."""
        # Markets without known rates pay the same: those of an exchange share a number.
        shared = {exchange: -1 - number for number, exchange in enumerate(dict.fromkeys(exchanges))}
        self._payer = np.array(
            [number if market in rates else shared[market[0]] for number, market in enumerate(self.bars.markets)],
            dtype=np.int64,
        )

    def with_rates(self, rates: Mapping[Market, FundingRates]) -> Prices:
        """Return the same bars and costs with other funding rates."""
        return Prices(self.bars, rates, self.costs)

    def numbers_of(self, table: pd.DataFrame) -> Ints:
        """Return the number of the market of each row, by exchange and symbol; −1 if it has no bars."""
        pairs = zip(table["exchange"].astype(str), table["symbol"].astype(str), strict=True)
        return np.array([self.bars.number_of(pair) for pair in pairs], dtype=np.int64)

    def follow(self, orders: Orders) -> tuple[Exits, Results]:
        """Follow trades of one side from their entries to their ends."""
        exits = follow(self.bars, orders, self.newest_close_ms)
        paid_pct, known = self.funding_of(orders.market, orders.entry_ms, exits.exit_ms)
        return exits, results(orders, exits, self.costs, paid_pct, known)

    def funding_of(self, market: Ints, entry_ms: Ints, exit_ms: Ints) -> tuple[Floats, Floats]:
        """Return what a LONG of each market pays from its entry to its exit, percent, and the share that is known."""
        paid_pct, known = np.zeros(len(market)), np.ones(len(market))
        if not len(market):
            return paid_pct, known
        payer = self._payer[market]
        order = payer.argsort(kind="stable")
        for rows in np.split(order, np.flatnonzero(np.diff(payer[order])) + 1):
            of_market = self.bars.markets[market[rows[0]]]
            funding = Funding.of(
                of_market[0],
                self._rates.get(of_market, NO_RATES),
                int(entry_ms[rows].min()),
                int(exit_ms[rows].max()),
            )
            paid_pct[rows], known[rows] = funding.between(entry_ms[rows], exit_ms[rows])
        return paid_pct, known
