"""Random entries: what the same stops and targets would have given at other moments of the same market.

Draws are numbered by SplitMix64 (Steele, Lea and Flood 2014), so that everybody gets the same ones.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from quant_assets.evaluation.exits import Orders
from quant_assets.evaluation.price_bars import Floats, Ints, JoinedBars
from quant_assets.evaluation.prices import Prices
from quant_assets.signals.sides import LONG, SHORT, SIGN

#: Draws for each trade.
DRAWS: Final = 200
#: Trades whose draws are followed at once.
BATCH: Final = 256
#: Bars that a market must have before the moment of a draw.
MIN_BARS_BEFORE: Final = 50


@dataclass(frozen=True, slots=True)
class Range:
    """The evaluated range: the ends of its first and its last window, epoch ms. Arrays have one for each trade."""

    first_ms: int | Ints
    last_ms: int | Ints


def chance_results(trades: pd.DataFrame, prices: Prices, evaluated: Range) -> npt.NDArray[np.float64]:
    """Return for each trade the mean net result (R) of its draws; NaN if the market has no moment to draw.

    `trades` has strategy, exchange, symbol, side, entry_ms, deadline_ms, entry, stop, target. A moment can be drawn if
    it is the end of a window of the range at which a bar opens, the market has 50 bars before, and the time limit
    passes within the market's bars. Side, distances of stop and target relative to the entry, rules and costs are those
    of the trade.
    """
    found = np.full(len(trades), np.nan)
    if trades.empty:
        return found
    market, limit_ms = prices.numbers_of(trades), (trades["deadline_ms"] - trades["entry_ms"]).to_numpy(np.int64)
    first, count = _moments(prices.bars, market, limit_ms, evaluated)
    names = [
        "|".join(map(str, row))
        for row in trades[["strategy", "exchange", "symbol", "entry_ms"]].itertuples(index=False, name=None)
    ]
    entry, stop, target = (trades[name].to_numpy(np.float64) for name in ("entry", "stop", "target"))
    times, opens = prices.bars.bars.time_ms, prices.bars.bars.open
    for side in (LONG, SHORT):
        of_side = np.flatnonzero((count > 0) & (trades["side"] == side).to_numpy(bool))
        for start in range(0, len(of_side), BATCH):
            rows = of_side[start : start + BATCH]
            drawn = np.concatenate([first[row] + draw(names[row], int(count[row])) for row in rows])
            each = rows.repeat(DRAWS)
            orders = Orders(
                SIGN[side],
                market[each],
                times[drawn],
                opens[drawn],
                opens[drawn] * (stop / entry)[each],
                opens[drawn] * (target / entry)[each],
                times[drawn] + limit_ms[each],
            )
            _, result = prices.follow(orders)
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


def _moments(bars: JoinedBars, market: Ints, limit_ms: Ints, evaluated: Range) -> tuple[Ints, Ints]:
    """Return for each trade the position of the first bar at whose open a draw may enter, and the number of them."""
    last_ms = np.minimum(evaluated.last_ms, bars.end_ms(market) - limit_ms)
    first_ms = np.broadcast_to(np.asarray(evaluated.first_ms, dtype=np.int64), market.shape)
    first = np.maximum(bars.find(market, first_ms), bars.begin[market] + MIN_BARS_BEFORE)
    return first, np.maximum(bars.find(market, last_ms + 1) - first, 0)


def _mean_of_known(net_r: Floats) -> Floats:
    """Return the mean of each row without its NaNs (lost draws), NaN if there is nothing else."""
    known = ~np.isnan(net_r)
    count = known.sum(axis=1)
    return np.where(count > 0, np.where(known, net_r, 0.0).sum(axis=1) / np.maximum(count, 1), np.nan)
