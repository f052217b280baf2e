"""The funding rates of trades, from the store of derivatives."""

from collections.abc import Mapping

import pandas as pd

from quant_assets.evaluation import FundingRates
from quant_assets.evaluation.grouping import keys_of
from quant_assets.evaluation.live import RatesOf
from quant_assets.evaluation.price_bars import Market
from quant_assets.evaluation.stored_funding import stored_funding
from quant_assets.orchestration.resources import MarketRules, Providers
from quant_assets.storage.lake import Lake


def rates_of_trades(providers: Providers, market_rules: MarketRules, lake: Lake, until_ms: int) -> RatesOf:
    """Return a function that reads the rates of the markets of trades that were known by `until_ms` (epoch ms)."""

    def rates_of(trades: pd.DataFrame, since_ms: int) -> Mapping[Market, FundingRates]:
        markets = set(keys_of(trades, ["exchange", "symbol"]))
        with providers.store() as store:
            return stored_funding(lake, store, market_rules.load(), markets, since_ms, until_ms)

    return rates_of
