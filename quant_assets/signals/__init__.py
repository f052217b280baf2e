"""Signals: indicators, trendlines, features, strategies.

`candle_features_table` computes what follows from candles for each market at the end of a window, `join_features` adds
derivative inputs, and `features_table` does both. `build_watchlist` orders the markets by candles alone, and
`run_strategy` gives a strategy's verdict on each market. `analyse` gives the verdicts on one market. Bars that were not
closed by the window's end are never used. `replay` in the package of that name gives the signals of many windows.
"""

from quant_assets.derivatives.open_interest import MAX_OI_AGE_SECONDS
from quant_assets.signals.analysis import Signal, analyse
from quant_assets.signals.checking.check import CheckReport, check_strategy
from quant_assets.signals.checking.finding import Finding
from quant_assets.signals.description import describe, describe_part, title_of
from quant_assets.signals.features.derivative_inputs import DerivativeInputs, LookAheadError
from quant_assets.signals.features.model import COLUMNS, Features
from quant_assets.signals.features.staleness import stale_candles
from quant_assets.signals.features.table import (
    CANDLE_DTYPES,
    DTYPES,
    FeaturesCache,
    candle_features_table,
    features_of,
    features_table,
    join_features,
    market_features,
    table_of,
)
from quant_assets.signals.features.trendlines import TrendLine, line_equation
from quant_assets.signals.features.triggers import Trigger
from quant_assets.signals.gates import COMMON_GATES, Gate, GateIndex, gates_of
from quant_assets.signals.own.indicator import OWN_PREFIX, PRICE_CHART, Indicator
from quant_assets.signals.own.market_candles import MarketCandles
from quant_assets.signals.own.series import IndicatorsError, has_indicators, own_series, values_at
from quant_assets.signals.own.values import OwnValues, own_values, usable_markets
from quant_assets.signals.parameters import (
    ParametersError,
    parameters_of,
    strategies_in_force,
    with_parameters,
    with_values,
)
from quant_assets.signals.reasons import INSUFFICIENT_HISTORY, STALE_CANDLES, STOP_TOO_CLOSE, STRATEGY_FAILED, Reason
from quant_assets.signals.registry import Discovered, discover_strategies
from quant_assets.signals.replay import candle_features_tables
from quant_assets.signals.run import StrategyError, judge, run_strategy
from quant_assets.signals.run_columns import run_strategy_by_columns
from quant_assets.signals.scores import PENALTY, SUMS, rounded
from quant_assets.signals.setups import Setup, valid_setup
from quant_assets.signals.sides import LONG, NONE, SHORT, WAIT, Action, Side
from quant_assets.signals.strategy import Limits, Reads, Strategy
from quant_assets.signals.verdict import Refusal, Verdict
from quant_assets.signals.verdict_columns import FeatureColumns, Verdicts
from quant_assets.signals.watchlist import build_watchlist

OLDEST_OI_SECONDS = MAX_OI_AGE_SECONDS
"""Former name of MAX_OI_AGE_SECONDS."""

__all__ = [
    "CANDLE_DTYPES",
    "COLUMNS",
    "COMMON_GATES",
    "DTYPES",
    "INSUFFICIENT_HISTORY",
    "LONG",
    "MAX_OI_AGE_SECONDS",
    "NONE",
    "OLDEST_OI_SECONDS",
    "OWN_PREFIX",
    "PENALTY",
    "PRICE_CHART",
    "SHORT",
    "STALE_CANDLES",
    "STOP_TOO_CLOSE",
    "STRATEGY_FAILED",
    "SUMS",
    "WAIT",
    "Action",
    "CheckReport",
    "DerivativeInputs",
    "Discovered",
    "FeatureColumns",
    "Features",
    "FeaturesCache",
    "Finding",
    "Gate",
    "GateIndex",
    "Indicator",
    "IndicatorsError",
    "Limits",
    "LookAheadError",
    "MarketCandles",
    "OwnValues",
    "ParametersError",
    "Reads",
    "Reason",
    "Refusal",
    "Setup",
    "Side",
    "Signal",
    "Strategy",
    "StrategyError",
    "TrendLine",
    "Trigger",
    "Verdict",
    "Verdicts",
    "analyse",
    "build_watchlist",
    "candle_features_table",
    "candle_features_tables",
    "check_strategy",
    "describe",
    "describe_part",
    "discover_strategies",
    "features_of",
    "features_table",
    "gates_of",
    "has_indicators",
    "join_features",
    "judge",
    "line_equation",
    "market_features",
    "own_series",
    "own_values",
    "parameters_of",
    "rounded",
    "run_strategy",
    "run_strategy_by_columns",
    "stale_candles",
    "strategies_in_force",
    "table_of",
    "title_of",
    "usable_markets",
    "valid_setup",
    "values_at",
    "with_parameters",
    "with_values",
]
