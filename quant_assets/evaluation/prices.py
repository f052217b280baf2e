"""What trades are followed on: bars, funding rates and costs."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from quant_assets.evaluation.costs import NO_RATES, Costs, Funding, FundingRates
from quant_assets.evaluation.exits import Exits, Orders, follow
from quant_assets.evaluation.price_bars import Ints, Market, PriceBars, newest_close_ms
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
        self.bars = bars
        self.costs = costs
        self._rates = rates
        self._newest_close_ms = newest_close_ms(bars)

    def follow(self, market: Market, orders: Orders, entry_ms: Ints) -> tuple[Exits, Results]:
        """Follow trades of one market and side from their entries (epoch ms) to their ends."""
        bars = self.bars[market]
        exits = follow(bars, orders, self._newest_close_ms[market[0]])
        rates = self._rates.get(market, NO_RATES)
        funding = Funding.of(market[0], rates, int(bars.time_ms[0]), bars.end_ms)
        return exits, results(orders, exits, entry_ms, self.costs, funding)
