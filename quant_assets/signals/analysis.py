"""Analysis of one market with all strategies, for scripts that have candles and no Dagster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from quant_assets.common.timeframes import HTF, LTF
from quant_assets.common.windows import Window
from quant_assets.signals.features.bars import MarketBars, bars_of
from quant_assets.signals.features.derivative_inputs import UNKNOWN, DerivativeInputs
from quant_assets.signals.features.model import Features
from quant_assets.signals.features.table import market_features
from quant_assets.signals.own.market_candles import PRICES, MarketCandles
from quant_assets.signals.own.series import has_indicators, own_series, values_at
from quant_assets.signals.registry import discover_strategies
from quant_assets.signals.run import judge
from quant_assets.signals.strategy import Strategy
from quant_assets.signals.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Signal:
    """A strategy's verdict on one market, and the features that it is based on."""

    strategy: Strategy
    verdict: Verdict
    features: Features


def analyse(
    ltf: pd.DataFrame,
    htf: pd.DataFrame,
    window: Window,
    derivatives: DerivativeInputs = UNKNOWN,
    strategies: Sequence[Strategy] | None = None,
    *,
    exchange: str = "",
    symbol: str = "",
) -> list[Signal]:
    """Return the signal of each strategy on one market at the end of a window; all strategies by default.

    `ltf` (15m) and `htf` (4h) have the columns time_ms (opening of the bar, epoch ms, increasing), high, low, close and
    volume, and open for strategies with indicators of their own; bars that are not closed by the window's end are
    ignored. `exchange` and `symbol` only name the market.
    Raises ValueError if neither has a closed bar or times do not increase, LookAheadError if a derivative value closed
    after the window's end.
    """
    market = MarketBars(exchange, symbol, bars_of(ltf, LTF, window), bars_of(htf, HTF, window))
    if len(market.ltf) + len(market.htf) == 0:
        raise ValueError(
            f"No closed bar before {window.end.isoformat()}, the end of the window: pass older bars or a later window"
        )
    features = market_features(market, window, derivatives)
    chosen = discover_strategies().strategies if strategies is None else strategies
    signals = []
    for strategy in chosen:
        known = features
        if has_indicators(strategy) and not features.unusable:
            candles = MarketCandles(
                pd.concat([_keyed(table, timeframe) for table, timeframe in ((ltf, LTF), (htf, HTF))])
            )
            frames = candles.closed_bars(("", ""), window.end_ms, strategy.look_back)
            known = features._replace(own=values_at(own_series(strategy, frames), frames, window.end_ms))
        signals.append(Signal(strategy, judge(strategy, known), known))
    return signals


def _keyed(table: pd.DataFrame, timeframe: str) -> pd.DataFrame:
    return table[["time_ms", *PRICES]].assign(exchange="", symbol="", timeframe=timeframe)
