"""Markets: candle files, local symbols, and which Coinalyze symbol serves each market.

A market is an exchange and its local symbol. `read_candles` finds the markets of a folder, `parse_symbol` takes a
symbol apart, `resolve_markets` gives each market its source for each dataset. Nothing here fetches anything,
reads a clock, or knows of Dagster, so that a script can adopt one piece.
"""

from quant_assets.markets.datasets import DATASETS, Dataset
from quant_assets.markets.market_list import (
    DROPPED,
    MarketListRefused,
    list_of_provider,
    market_list_table,
    refuse_shrunken_list,
)
from quant_assets.markets.resolution import resolve_markets
from quant_assets.markets.rules import ResolutionRules, RulesError, load_rules, rules_from
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
    "DATASETS",
    "DROPPED",
    "CandleNameError",
    "Dataset",
    "FileName",
    "LocalSymbol",
    "MarketListRefused",
    "ResolutionRules",
    "RulesError",
    "list_of_provider",
    "load_rules",
    "market_list_table",
    "parse_base",
    "parse_file_name",
    "parse_symbol",
    "refuse_shrunken_list",
    "resolve_markets",
    "rules_from",
    "symbol_readings",
]
