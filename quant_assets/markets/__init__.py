"""Parse exchange symbols, and choose the provider's symbol for each market and dataset.

A market is an exchange and its local symbol. `parse_symbol` splits a symbol into its parts, `resolve_markets` chooses
each market's source for each dataset. Nothing here fetches anything, reads a clock or imports Dagster.
"""

from quant_assets.markets.datasets import Dataset, ResolvedDataset
from quant_assets.markets.market_key import MarketKey, market_key
from quant_assets.markets.market_list import (
    DROPPED,
    MAX_LIST_AGE,
    MarketListRefused,
    list_of_provider,
    market_list_table,
    refuse_shrunken_list,
    refuse_shrunken_market_list,
)
from quant_assets.markets.resolution import resolve_markets
from quant_assets.markets.rules import ResolutionRules, RulesError, load_rules
from quant_assets.markets.selection import select_markets
from quant_assets.markets.status import MarketStatus
from quant_assets.markets.symbols import (
    CandleNameError,
    FileName,
    LocalSymbol,
    parse_base,
    parse_file_name,
    parse_symbol,
    symbol_readings,
)

__all__ = [
    "DROPPED",
    "MAX_LIST_AGE",
    "CandleNameError",
    "Dataset",
    "FileName",
    "LocalSymbol",
    "MarketKey",
    "MarketListRefused",
    "MarketStatus",
    "ResolutionRules",
    "ResolvedDataset",
    "RulesError",
    "list_of_provider",
    "load_rules",
    "market_key",
    "market_list_table",
    "parse_base",
    "parse_file_name",
    "parse_symbol",
    "refuse_shrunken_list",
    "refuse_shrunken_market_list",
    "resolve_markets",
    "select_markets",
    "symbol_readings",
]
