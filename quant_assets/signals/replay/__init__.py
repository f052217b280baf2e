"""Replay: features and signal tables of many windows at once, equal to those of the windows one by one.

The windows one by one are the definition: `candle_features_table`, `join_features`, `run_strategy`.
"""

from quant_assets.signals.replay.features import candle_features_tables
from quant_assets.signals.replay.signal_tables import (
    Derivatives,
    judged_batches,
    markets_of,
    replay,
    replay_inputs,
)
from quant_assets.signals.replay.window_inputs import TablesOf, WindowInputs, no_tables

__all__ = [
    "Derivatives",
    "TablesOf",
    "WindowInputs",
    "candle_features_tables",
    "judged_batches",
    "markets_of",
    "no_tables",
    "replay",
    "replay_inputs",
]
