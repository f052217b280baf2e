"""Signals: indicators, trendlines, features, strategies.

Candles and derivative inputs go in; `features_table` puts down what is known of each market at the end of a window, and
`run_strategy` what a strategy says of it. `analyse` does both for one market. Everything is computed from bars that
were closed by the window's end, and from nothing else.
"""

from quant_assets.signals.analysis import Signal, analyse
from quant_assets.signals.features.derivative_inputs import OLDEST_OI_SECONDS, DerivativeInputs, LookAheadError
from quant_assets.signals.features.model import COLUMNS, INSUFFICIENT_HISTORY, STALE_CANDLES, Features
from quant_assets.signals.features.staleness import stale_candles
from quant_assets.signals.features.table import DTYPES, features_of, features_table, market_features, table_of
from quant_assets.signals.features.trendlines import TrendLine, line_equation
from quant_assets.signals.features.triggers import Trigger
from quant_assets.signals.parameters import ParametersError, parameters_of, with_parameters
from quant_assets.signals.registry import Discovered, discover_strategies
from quant_assets.signals.scores import PENALTY, SUMS, rounded
from quant_assets.signals.setups import Setup, valid_setup
from quant_assets.signals.sides import NONE
from quant_assets.signals.strategy import Limits, Reads, Refusal, Strategy, StrategyError, Verdict, judge, run_strategy
from quant_assets.signals.watchlist import market_interest

__all__ = [
    "COLUMNS",
    "DTYPES",
    "INSUFFICIENT_HISTORY",
    "NONE",
    "OLDEST_OI_SECONDS",
    "PENALTY",
    "STALE_CANDLES",
    "SUMS",
    "DerivativeInputs",
    "Discovered",
    "Features",
    "Limits",
    "LookAheadError",
    "ParametersError",
    "Reads",
    "Refusal",
    "Setup",
    "Signal",
    "Strategy",
    "StrategyError",
    "TrendLine",
    "Trigger",
    "Verdict",
    "analyse",
    "discover_strategies",
    "features_of",
    "features_table",
    "judge",
    "line_equation",
    "market_features",
    "market_interest",
    "parameters_of",
    "rounded",
    "run_strategy",
    "stale_candles",
    "table_of",
    "valid_setup",
    "with_parameters",
]
