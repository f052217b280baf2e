"""Evaluate strategies over a range of windows: replay their setups, follow the trades, sum them up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import pandas as pd

from quant_assets.common.progress import Progress, silent
from quant_assets.common.timeframes import HTF, LTF, STEP_MS
from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.evaluation.draws import Range, chance_results
from quant_assets.evaluation.grouping import groups
from quant_assets.evaluation.one_bar_later import later_results
from quant_assets.evaluation.prices import Prices
from quant_assets.evaluation.record import counted, record
from quant_assets.evaluation.setups import replay_setups
from quant_assets.evaluation.trade_table import Source, window_keys
from quant_assets.evaluation.trades import TradeRules, follow_setups
from quant_assets.markets.rules import ResolutionRules
from quant_assets.markets.symbols import parse_symbol
from quant_assets.signals.features.candle_features import MIN_BARS
from quant_assets.signals.strategy import Strategy

#: Closed bars of each timeframe of which the first one reached ends a market's warm-up.
WARM_UP_BARS: Final = {HTF: 200, LTF: 500}
#: Trades that are open at the beginning of the range began at most so many time limits before it.
LIMITS_BEFORE: Final = 2


class NothingToEvaluate(ValueError):
    """No window can be evaluated; the message says why and what would help."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was evaluated, its trades and the record of each strategy.

    `trades` has the columns of `follow_setups`, and source, window (key), asset, oi_status, hindsight, chance_r (mean
    net result of random entries) and later_r (net result with the entry one bar later). Both are NaN for trades that
    do not count.
    """

    first: Window
    last: Window
    markets: int
    windows: int
    market_windows: int
    trades: pd.DataFrame
    records: dict[str, dict[str, Any]]


def full_range(candles: pd.DataFrame) -> tuple[Window, Window]:
    """Return the first and the last window that candles cover after the warm-up.

    A market is warm when its 200th bar of 4h or its 500th of 15m has closed, whichever is first, and its 50th of 15m.
    The first window is that of the first market. Raises NothingToEvaluate if no market is warm.
    """
    closes = {
        (exchange, symbol, timeframe): candles["time_ms"].to_numpy(np.int64)[rows] + STEP_MS[timeframe]
        for (exchange, symbol, timeframe), rows in groups(candles, ["exchange", "symbol", "timeframe"])
        if timeframe in STEP_MS
    }
    of_ltf = {(exchange, symbol): times for (exchange, symbol, timeframe), times in closes.items() if timeframe == LTF}
    warm_ms = []
    for market, times in of_ltf.items():
        reached = [
            closes[*market, timeframe][count - 1]
            for timeframe, count in WARM_UP_BARS.items()
            if len(closes.get((*market, timeframe), ())) >= count
        ]
        if reached and len(times) >= MIN_BARS:
            warm_ms.append(max(min(reached), times[MIN_BARS - 1]))
    if not warm_ms:
        raise NothingToEvaluate(
            f"no market has {WARM_UP_BARS[HTF]} closed bars of 4h or {WARM_UP_BARS[LTF]} of 15m; get more history, "
            "or name the range with --from and --to"
        )
    newest_ms = max(times[-1] for times in of_ltf.values())
    return _window_at(min(warm_ms)), _window_at(newest_ms)


def evaluate(
    candles: pd.DataFrame,
    prices: Prices,
    strategies: Sequence[Strategy],
    first: Window,
    last: Window,
    rules: ResolutionRules,
    progress: Progress = silent,
) -> Evaluation:
    """Evaluate strategies over the windows from first to last, on a candles table and the prices made from it.

    Trades are followed from twice the longest time limit before the range on, so that those of its beginning are not
    new starts; only trades of windows of the range are returned. `rules` name the asset of each market.
    Raises NothingToEvaluate if no bar closed in the range, and what a strategy raises.
    """
    of_strategy = {strategy.name: TradeRules.of(strategy) for strategy in strategies}
    longest_ms = max(found.max_holding_ms for found in of_strategy.values())
    windows = windows_between(candles, first.end_ms - LIMITS_BEFORE * longest_ms, last)
    if not windows or windows[-1] < first:
        raise NothingToEvaluate(f"no 15m bar closed between {first.end.isoformat()} and {last.end.isoformat()}")
    setups, market_windows = replay_setups(candles, windows, strategies, progress)
    trades = follow_setups(setups, prices, of_strategy)
    trades = trades[trades["entry_ms"] >= first.end_ms].reset_index(drop=True)
    progress("random entries", 0, 1)
    trades = with_comparisons(described(trades, rules), prices, Range(first.end_ms, last.end_ms))
    progress("random entries", 1, 1)
    records = {name: record(trades[trades["strategy"] == name], prices.costs) for name in of_strategy}
    return Evaluation(
        first=first,
        last=last,
        markets=len(prices.bars),
        windows=len(windows),
        market_windows=market_windows,
        trades=trades,
        records=records,
    )


def windows_between(candles: pd.DataFrame, first_ms: int, last: Window) -> list[Window]:
    """Return the windows from a moment to the last, none before the first bar of 15m has closed."""
    times = candles.loc[candles["timeframe"] == LTF, "time_ms"]
    if times.empty:
        return []
    begin_ms = max(first_ms, int(times.min()) + STEP_MS[LTF])
    begin = _window_at(begin_ms)
    count = (last.end - begin.end) // WINDOW_LENGTH + 1
    return [Window(begin.end + number * WINDOW_LENGTH) for number in range(max(count, 0))]


def _window_at(moment_ms: int) -> Window:
    return Window.last_complete(datetime.fromtimestamp(int(moment_ms) / 1000, UTC))


def described(trades: pd.DataFrame, rules: ResolutionRules) -> pd.DataFrame:
    """Add what a replay knows of its trades: source, window (key), asset, oi_status, hindsight."""
    pairs = zip(trades["exchange"].astype(str), trades["symbol"].astype(str), strict=True)
    return trades.assign(
        source=Source.REPLAYED.value,
        window=window_keys(trades["entry_ms"]),
        asset=pd.array([parse_symbol(symbol, exchange, rules).asset for exchange, symbol in pairs], dtype="str"),
        oi_status="neutral",
        hindsight=False,
    )


def with_comparisons(trades: pd.DataFrame, prices: Prices, evaluated: Range) -> pd.DataFrame:
    """Add what random entries, and an entry one bar later, would have given to the trades that count."""
    rows = counted(trades)
    chance, later = np.full(len(trades), np.nan), np.full(len(trades), np.nan)
    chance[rows.index] = chance_results(rows, prices, evaluated)
    later[rows.index] = later_results(rows, prices)
    return trades.assign(chance_r=chance, later_r=later)
