"""The funding rates of markets, from what a data folder has."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pandas as pd

from quant_assets.derivatives.funding_history import funding_history
from quant_assets.derivatives.store import DerivativesStore
from quant_assets.evaluation.costs import FundingRates, funding_rates
from quant_assets.evaluation.grouping import keys_of
from quant_assets.evaluation.price_bars import Market
from quant_assets.markets.rules import ResolutionRules
from quant_assets.storage.lake import Lake


def stored_funding(
    lake: Lake,
    store: DerivativesStore,
    rules: ResolutionRules,
    markets: Collection[Market],
    since_ms: int,
    until_ms: int,
) -> Mapping[Market, FundingRates]:
    """Return the rates of markets that became known in (`since_ms`, `until_ms`], epoch ms. Raises StoreError.

    The provider's symbols are those of the newest symbol map.
    """
    symbol_map = lake.read_undamaged(["symbol_map"])
    of_exchanges = lake.read_undamaged(["exchange_markets"])
    own = [] if of_exchanges is None else keys_of(of_exchanges, ["exchange", "symbol"])
    known = pd.DataFrame() if symbol_map is None else symbol_map
    return funding_rates(funding_history(store, known, own, markets, rules, since_ms, until_ms))
