"""The results that trades would have had with an entry one bar later."""

from __future__ import annotations

import numpy as np
import pandas as pd

from quant_assets.evaluation.exits import Orders
from quant_assets.evaluation.price_bars import STEP, Floats
from quant_assets.evaluation.prices import Prices
from quant_assets.signals.sides import LONG, SHORT, SIGN


def later_results(trades: pd.DataFrame, prices: Prices) -> Floats:
    """Return for each trade the net result (R) with the entry at the open of the next bar.

    Stop, target and time limit stay. NaN if there is no bar 15 minutes later, it does not open between stop and target,
    or the trade is lost.
    """
    found = np.full(len(trades), np.nan)
    market = prices.numbers_of(trades)
    later_ms = trades["entry_ms"].to_numpy(np.int64) + STEP
    stop, target = (trades[name].to_numpy(np.float64) for name in ("stop", "target"))
    times = prices.bars.bars.time_ms
    at = np.minimum(prices.bars.find(market, later_ms), len(times) - 1)
    entry = prices.bars.bars.open[at]
    is_between = (np.minimum(stop, target) < entry) & (entry < np.maximum(stop, target))
    is_entered = (at < prices.bars.end[market]) & (times[at] == later_ms) & is_between
    deadline_ms = trades["deadline_ms"].to_numpy(np.int64)
    for side in (LONG, SHORT):
        rows = np.flatnonzero(is_entered & (trades["side"] == side).to_numpy(bool))
        _, result = prices.follow(Orders(SIGN[side], market, later_ms, entry, stop, target, deadline_ms).part(rows))
        found[rows] = result.net_r
    return found
