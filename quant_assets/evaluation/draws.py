"""Random entries: what the same stops and targets would have given at other moments of the same market.

Draws are numbered by SplitMix64 (Steele, Lea and Flood 2014), so that everybody gets the same ones.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from quant_assets.evaluation.exits import Orders
from quant_assets.evaluation.grouping import groups
from quant_assets.evaluation.price_bars import Floats, Ints, PriceBars
from quant_assets.evaluation.prices import Prices
from quant_assets.evaluation.trades import TradeRules
from quant_assets.signals.sides import SIGN

#: Draws for each trade.
DRAWS: Final = 200
#: Bars that a market must have before the moment of a draw.
MIN_BARS_BEFORE: Final = 50


@dataclass(frozen=True, slots=True)
class Range:
    """The evaluated range: the ends of its first and its last window, epoch ms."""

    first_ms: int
    last_ms: int


def chance_results(
    trades: pd.DataFrame, prices: Prices, rules: Mapping[str, TradeRules], evaluated: Range
) -> npt.NDArray[np.float64]:
    """Return for each trade the mean net result (R) of its draws; NaN if the market has no moment to draw.

    `trades` has strategy, exchange, symbol, side, entry_ms, entry, stop, target. A moment can be drawn if it is the end
    of a window of the range at which a bar opens, the market has 50 bars before, and the time limit passes within the
    market's bars. Side, distances of stop and target relative to the entry, rules and costs are those of the trade.
    """
    found = np.full(len(trades), np.nan)
    columns = {name: trades[name].to_numpy(np.float64) for name in ("entry", "stop", "target")}
    entry_ms = trades["entry_ms"].to_numpy(np.int64)
    for (strategy, exchange, symbol, side), rows in groups(trades, ["strategy", "exchange", "symbol", "side"]):
        bars, of_strategy = prices.bars[exchange, symbol], rules[strategy]
        moments = _moments(bars, of_strategy, evaluated)
        if not len(moments):
            continue
        names = [f"{strategy}|{exchange}|{symbol}|{moment}" for moment in entry_ms[rows]]
        drawn = moments[np.stack([draw(name, len(moments)) for name in names])].ravel()
        opens = bars.open[drawn]
        entry, stop, target = (np.repeat(columns[name][rows], DRAWS) for name in ("entry", "stop", "target"))
        drawn_ms = bars.time_ms[drawn]
        orders = Orders(
            SIGN[side],
            drawn,
            opens,
            opens * (stop / entry),
            opens * (target / entry),
            drawn_ms + of_strategy.max_holding_ms,
        )
        _, result = prices.follow((exchange, symbol), orders, drawn_ms)
        found[rows] = _mean_of_known(result.net_r.reshape(-1, DRAWS))
    return found


def draw(name: str, count: int) -> Ints:
    """Return DRAWS numbers below `count` that follow from a name alone."""
    first = np.uint64(zlib.crc32(name.encode()) << 32)
    return (splitmix64(first + np.arange(DRAWS, dtype=np.uint64)) % np.uint64(count)).astype(np.int64)


def splitmix64(state: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Return the next number of SplitMix64 for each state."""
    with np.errstate(over="ignore"):
        mixed = state + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _moments(bars: PriceBars, rules: TradeRules, evaluated: Range) -> Ints:
    """Return the positions of the bars at whose open a draw may enter."""
    last_ms = min(evaluated.last_ms, bars.end_ms - rules.max_holding_ms)
    first = max(int(bars.time_ms.searchsorted(evaluated.first_ms)), MIN_BARS_BEFORE)
    return np.arange(first, int(bars.time_ms.searchsorted(last_ms, side="right")), dtype=np.int64)


def _mean_of_known(net_r: Floats) -> Floats:
    """Return the mean of each row without its NaNs (lost draws), NaN if there is nothing else."""
    known = ~np.isnan(net_r)
    count = known.sum(axis=1)
    return np.where(count > 0, np.where(known, net_r, 0.0).sum(axis=1) / np.maximum(count, 1), np.nan)
