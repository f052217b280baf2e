"""The results that trades would have had with an entry one bar later."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from quant_assets.evaluation.exits import Orders
from quant_assets.evaluation.grouping import groups
from quant_assets.evaluation.price_bars import STEP, Floats
from quant_assets.evaluation.prices import Prices
from quant_assets.evaluation.trades import TradeRules
from quant_assets.signals.sides import SIGN


def later_results(trades: pd.DataFrame, prices: Prices, rules: Mapping[str, TradeRules]) -> Floats:
    """Return for each trade the net result (R) with the entry at the open of the next bar.

    Stop, target and time limit stay. NaN if there is no bar 15 minutes later, it does not open between stop and target,
    or the trade is lost.
    """
    found = np.full(len(trades), np.nan)
    entry_ms = trades["entry_ms"].to_numpy(np.int64)
    stop, target = (trades[name].to_numpy(np.float64) for name in ("stop", "target"))
    for (strategy, exchange, symbol, side), rows in groups(trades, ["strategy", "exchange", "symbol", "side"]):
        bars = prices.bars[exchange, symbol]
        later_ms = entry_ms[rows] + STEP
        at = np.minimum(bars.time_ms.searchsorted(later_ms), len(bars.time_ms) - 1)
        entry = bars.open[at]
        low, high = np.minimum(stop, target)[rows], np.maximum(stop, target)[rows]
        chosen = (bars.time_ms[at] == later_ms) & (low < entry) & (entry < high)
        deadline_ms = entry_ms[rows] + rules[strategy].max_holding_ms
        orders = Orders(
            SIGN[side], at[chosen], entry[chosen], stop[rows][chosen], target[rows][chosen], deadline_ms[chosen]
        )
        _, result = prices.follow((exchange, symbol), orders, later_ms[chosen])
        found[rows[chosen]] = result.net_r
    return found
