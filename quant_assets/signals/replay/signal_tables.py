"""Signal tables of many windows in one pass over each market."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from quant_assets.common.windows import Window
from quant_assets.signals.features.bars import Columns, MarketBars, market_series
from quant_assets.signals.features.table import DTYPES, FeaturesCache, table_of_columns
from quant_assets.signals.own.market_candles import MarketCandles
from quant_assets.signals.own.series import has_indicators
from quant_assets.signals.replay.features import feature_batches
from quant_assets.signals.replay.own_indicators import ReplayedIndicators
from quant_assets.signals.replay.window_inputs import NO_TABLE, WindowInputs
from quant_assets.signals.run import run_strategy, signal_table
from quant_assets.signals.run_columns import judge_many
from quant_assets.signals.strategy import Strategy

Derivatives = Mapping[str, Mapping[str, pd.DataFrame]]
"""Key of a window → dataset → its table as it was known at the window's end."""
OnFailure = Callable[[str], None]


def replay(
    candles: pd.DataFrame,
    derivatives: Derivatives,
    windows: Sequence[Window],
    strategies: Sequence[Strategy],
    symbol_map: pd.DataFrame = NO_TABLE,
    on_failure: OnFailure | None = None,
) -> dict[str, pd.DataFrame]:
    """Return the signal table of each strategy, by its key: one row for each market with a closed bar in each window.

    The rows of a window are those of `run_strategy` on the features table of the window, with `window_end_ms` (epoch
    ms) besides. They are sorted by exchange, symbol and the order of `windows`, which has no repetition. `candles` is
    the candles table; a window without derivatives has unknown ones. `on_failure` is that of `run_strategy`. Own
    indicators of a strategy are computed on all bars at once (see `ReplayedIndicators`).
    Raises ValueError if `candles` is not sorted, LookAheadError if a derivative value closed after its window's end.
    """

    def known(windows: Sequence[Window]) -> Iterator[Mapping[str, pd.DataFrame]]:
        return (derivatives.get(window.key, {}) for window in windows)

    inputs = WindowInputs.of(markets_of(candles), windows, known, symbol_map)
    return replay_inputs(candles, inputs, strategies, on_failure)


def replay_inputs(
    candles: pd.DataFrame, inputs: WindowInputs, strategies: Sequence[Strategy], on_failure: OnFailure | None = None
) -> dict[str, pd.DataFrame]:
    """Return what `replay` returns, for the windows of `inputs`, which has the markets of the candles and others."""
    found: dict[str, list[Columns]] = {strategy.key: [] for strategy in strategies}
    for number, columns in judged_batches(candles, inputs, strategies, on_failure):
        found[strategies[number].key].append(columns)
    return {strategy.key: _concat(strategy, found.pop(strategy.key)) for strategy in strategies}


def markets_of(candles: pd.DataFrame) -> list[tuple[str, str]]:
    """Return exchange and symbol of the markets of a candles table, sorted."""
    pairs = candles.groupby(["exchange", "symbol"], observed=True, sort=True).size().index
    return [(str(exchange), str(symbol)) for exchange, symbol in pairs]


def judged_batches(
    candles: pd.DataFrame, inputs: WindowInputs, strategies: Sequence[Strategy], on_failure: OnFailure | None = None
) -> Iterator[tuple[int, Columns]]:
    """Yield the place of a strategy and columns of its signal table, for some market-windows at a time.

    The arguments are those of `replay_inputs`. Features are computed once for all strategies, which may also be one
    strategy with different parameters. The columns are those of the signal table without `strategy_name`.
    """
    own: list[ReplayedIndicators | None] = [None] * len(strategies)
    if any(map(has_indicators, strategies)):
        by_market = MarketCandles(candles)
        own = [ReplayedIndicators(one, by_market) if has_indicators(one) else None for one in strategies]
    for features in _features(market_series(candles), inputs):
        shown = {name: features[name] for name in ("exchange", "symbol", "window_end_ms")}
        table, cache = functools.cache(functools.partial(table_of_columns, features)), FeaturesCache()
        for number, strategy in enumerate(strategies):
            yield number, shown | _judged(strategy, features, own[number], table, cache, on_failure)


def _judged(
    strategy: Strategy,
    features: Columns,
    indicators: ReplayedIndicators | None,
    table_of_features: Callable[[], pd.DataFrame],
    cache: FeaturesCache,
    on_failure: OnFailure | None,
) -> Columns:
    """Return the columns of a strategy's signal table but strategy_name and those of the market-window."""
    own = indicators.of(features) if indicators is not None else None
    columns = judge_many(strategy, features) if own is None else None
    if columns is None:
        table = run_strategy(strategy, table_of_features(), on_failure, cache, own)
        columns = {str(name): table[name].to_numpy() for name in table if name != "strategy_name"}
    return columns


def _features(markets: Sequence[MarketBars], inputs: WindowInputs) -> Iterator[Columns]:
    """Yield the columns of the features of some market-windows at a time."""
    exchanges = np.array([market.exchange for market in markets], dtype=object)
    symbols = np.array([market.symbol for market in markets], dtype=object)
    known = inputs.of_markets([(market.exchange, market.symbol) for market in markets])
    end_ms = np.array([window.end_ms for window in inputs.windows], dtype=np.int64)
    for batch in feature_batches(markets, inputs.windows):
        yield {
            "exchange": exchanges[batch.market],
            "symbol": symbols[batch.market],
            "window_end_ms": end_ms[batch.window],
            **batch.columns,
            **known.columns(batch.market, batch.window),
        }


def _concat(strategy: Strategy, parts: Sequence[Columns]) -> pd.DataFrame:
    """Return the signal table of some batches."""
    if not parts:
        empty = run_strategy(strategy, table_of_columns(dict.fromkeys(DTYPES, ())))
        return empty.assign(window_end_ms=np.empty(0, np.int64))
    names = dict.fromkeys(name for part in parts for name in part)
    # A batch of markets on which no indicator of the strategy is known lacks the columns of undeclared ones.
    whole = [
        {name: part[name] if name in part else np.full(len(part["symbol"]), np.nan) for name in names} for part in parts
    ]
    return signal_table(strategy, {name: np.concatenate([part[name] for part in whole]) for name in names})
