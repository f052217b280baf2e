"""One market, all strategies, no Dagster: the way in for a script that has candles in its hands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from quant_assets.common.windows import Window
from quant_assets.signals.features.bars import HTF, LTF, MarketBars, bars_of
from quant_assets.signals.features.derivative_inputs import UNKNOWN, DerivativeInputs
from quant_assets.signals.features.model import Features
from quant_assets.signals.features.table import market_features
from quant_assets.signals.registry import discover_strategies
from quant_assets.signals.strategy import Strategy, Verdict, judge


@dataclass(frozen=True, slots=True)
class Signal:
    """What one strategy says of one market, with everything it went by."""

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
    """Judge one market at the end of a window with each strategy given, or with all there are.

    `ltf` (15m) and `htf` (4h) have the columns time_ms (opening of the bar, epoch ms, rising), high, low, close and
    volume; bars that are not closed by the window's end are passed over. `exchange` and `symbol` only name the market.
    Raises ValueError where neither has a closed bar or the times do not rise, LookAheadError where a derivative value
    closed after the window's end.
    """
    market = MarketBars(exchange, symbol, bars_of(ltf, LTF, window), bars_of(htf, HTF, window))
    if len(market.ltf) + len(market.htf) == 0:
        raise ValueError(f"no bar is closed by {window.end.isoformat()}")
    features = market_features(market, window, derivatives)
    chosen = discover_strategies().strategies if strategies is None else strategies
    return [Signal(strategy, judge(strategy, features), features) for strategy in chosen]
