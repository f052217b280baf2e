"""The setups of many windows, as the strategies give them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from quant_assets.common.progress import Progress, silent
from quant_assets.common.windows import Window
from quant_assets.signals import FeaturesCache, Strategy, features_table, run_strategy
from quant_assets.signals.sides import WAIT

#: Column of a signal table → its name in a table of setups.
_NAMES = {
    "strategy_name": "strategy",
    "exchange": "exchange",
    "symbol": "symbol",
    "side": "side",
    "score": "score",
    "rr": "rr",
    "stop_loss": "stop",
    "take_profit": "target",
}


def setups_of(signals: pd.DataFrame, end_ms: int) -> pd.DataFrame:
    """Return the setups of a signal table of the window that ends at `end_ms` (epoch ms), one row for each.

    Columns: strategy, exchange, symbol, side, score, rr, stop, target, end_ms, and the parts of the score.
    """
    rows = signals[signals["action"] != WAIT.value]
    parts = [name for name in signals if str(name).startswith("part_")]
    return rows[[*_NAMES, *parts]].rename(columns=_NAMES).assign(end_ms=end_ms)


def replay_setups(
    candles: pd.DataFrame, windows: Sequence[Window], strategies: Iterable[Strategy], progress: Progress = silent
) -> tuple[pd.DataFrame, int]:
    """Return the setups that strategies give in these windows, and the number of markets in all windows together.

    `candles` is the candles table; what closed after a window's end has no effect on it. Nothing is known of
    derivatives, which count as neutral. Raises what a strategy raises.
    """
    chosen = tuple(strategies)
    no_table = pd.DataFrame()
    found, market_windows = [], 0
    for number, window in enumerate(windows):
        progress("windows replayed", number, len(windows), window.key)
        features, cache = features_table(candles, no_table, {}, window), FeaturesCache()
        market_windows += len(features)
        found += [setups_of(run_strategy(strategy, features, cache=cache), window.end_ms) for strategy in chosen]
    progress("windows replayed", len(windows), len(windows), "")
    kept = [table for table in found if len(table)] or found[:1]
    return pd.concat(kept, ignore_index=True), market_windows
