"""Evaluate strategies over a range of windows: replay their setups, follow the trades, sum them up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from quant_assets.evaluation.price_bars import Market
from quant_assets.evaluation.prices import Prices
from quant_assets.evaluation.record import counted, record
from quant_assets.evaluation.setups import replay_setups
from quant_assets.evaluation.stored_inputs import NOTHING_STORED, StoredInputs, is_hindsight
from quant_assets.evaluation.trade_table import Source, window_keys
from quant_assets.evaluation.trades import TradeRules, follow_setups
from quant_assets.markets.rules import ResolutionRules
from quant_assets.markets.symbols import parse_symbol
from quant_assets.signals.features.candle_features import MIN_BARS
from quant_assets.signals.replay import WindowInputs, markets_of
from quant_assets.signals.strategy import Strategy

#: Closed bars of each timeframe of which the first one reached ends a market's warm-up.
WARM_UP_BARS: Final = {HTF: 200, LTF: 500}
#: Trades that are open at the beginning of the range began at most so many time limits before it.
LIMITS_BEFORE: Final = 2
HINDSIGHT: Final = " (hindsight)"
NOTHING_KNOWN: Final[Mapping[Market, float]] = {}


class NothingToEvaluate(ValueError):
    """No window can be evaluated; the message says why and what would help."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was evaluated, its trades and the record of each strategy.

    `records` has hindsight apart, as "NAME (hindsight)": trades of windows from before the market was selected here.
    Markets are selected by turnover, so it is known that these were still traded later.
    `trades` has the columns of `follow_setups`, and oi_status (source of open interest in the window), source, window
    (key), asset, hindsight (the market was selected here later), chance_r (mean net result of random entries) and
    later_r (net result with the entry one bar later). The last two are NaN for trades that do not count.
    """

    first: Window
    last: Window
    markets: int
    windows: int
    market_windows: int
    """How many were replayed, those before the range included."""
    windows_with_derivatives: int
    trades: pd.DataFrame
    records: dict[str, dict[str, Any]]

    @property
    def trades_apart(self) -> pd.DataFrame:
        """The trades with the names of `records` as strategies."""
        return self.trades.assign(strategy=names_apart(self.trades))


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
    stored: StoredInputs = NOTHING_STORED,
    progress: Progress = silent,
) -> Evaluation:
    """Evaluate strategies over the windows from first to last, on a candles table and the prices made from it.

    Trades are followed from twice the longest time limit before the range on, so that those of its beginning are not
    new starts; only trades of windows of the range are returned. `rules` name the asset of each market. `stored` has
    the derivatives that were known in each window; what is unknown counts as neutral.
    Raises NothingToEvaluate if no bar closed in the range, and what a strategy raises.
    """
    of_strategy = {strategy.name: TradeRules.of(strategy) for strategy in strategies}
    longest_ms = max(found.max_holding_ms for found in of_strategy.values())
    windows = windows_between(candles, first.end_ms - LIMITS_BEFORE * longest_ms, last)
    if not windows or windows[-1] < first:
        raise NothingToEvaluate(f"no 15m bar closed between {first.end.isoformat()} and {last.end.isoformat()}")
    inputs = window_inputs(candles, windows, stored, progress)
    setups, market_windows = replay_setups(candles, inputs, strategies, progress)
    trades = follow_setups(setups, prices, of_strategy)
    trades = trades[trades["entry_ms"] >= first.end_ms].reset_index(drop=True)
    progress("random entries", 0, 1)
    trades = described(trades, rules, stored.selected_since_ms)
    trades = with_comparisons(trades, prices, Range(first.end_ms, last.end_ms))
    progress("random entries", 1, 1)
    shown = names_apart(trades)
    names = [name for one in of_strategy for name in (one, f"{one}{HINDSIGHT}")]
    records = {
        name: record(trades[shown == name], prices.costs)
        for name in names
        if name in of_strategy or (shown == name).any()
    }
    return Evaluation(
        first=first,
        last=last,
        markets=len(prices.bars),
        windows=sum(window >= first for window in windows),
        market_windows=market_windows,
        windows_with_derivatives=inputs.count_known(first),
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


def window_inputs(
    candles: pd.DataFrame, windows: Sequence[Window], stored: StoredInputs, progress: Progress = silent
) -> WindowInputs:
    """Return what the windows know besides the candles. Raises LookAheadError if it closed after its window."""
    return WindowInputs.of(markets_of(candles), windows, stored.derivatives, stored.symbol_map, progress)


def _window_at(moment_ms: int) -> Window:
    return Window.last_complete(datetime.fromtimestamp(int(moment_ms) / 1000, UTC))


def described(
    trades: pd.DataFrame, rules: ResolutionRules, selected_since_ms: Mapping[Market, float] = NOTHING_KNOWN
) -> pd.DataFrame:
    """Add what a replay knows of its trades: source, window (key), asset, hindsight.

    `selected_since_ms` says when each market was first selected here (epoch ms), as far as that is known.
    """
    pairs = zip(trades["exchange"].astype(str), trades["symbol"].astype(str), strict=True)
    return trades.assign(
        source=Source.REPLAYED.value,
        window=window_keys(trades["entry_ms"]),
        asset=pd.array([parse_symbol(symbol, exchange, rules).asset for exchange, symbol in pairs], dtype="str"),
        hindsight=is_hindsight(trades, trades["entry_ms"], selected_since_ms),
    )


def names_apart(trades: pd.DataFrame) -> pd.Series[str]:
    """Return the strategy of each trade, with HINDSIGHT behind its name if the market was selected later."""
    names = trades["strategy"].astype("str")
    return names.where(~trades["hindsight"], names + HINDSIGHT)


def with_comparisons(trades: pd.DataFrame, prices: Prices, evaluated: Range) -> pd.DataFrame:
    """Add what random entries, and an entry one bar later, would have given to the trades that count."""
    rows = counted(trades)
    chance, later = np.full(len(trades), np.nan), np.full(len(trades), np.nan)
    chance[rows.index] = chance_results(rows, prices, evaluated)
    later[rows.index] = later_results(rows, prices)
    return trades.assign(chance_r=chance, later_r=later)
