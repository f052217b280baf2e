"""The series of strategies' own indicators that a market's charts show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from quant_assets.common.timeframes import STEP_MS
from quant_assets.common.windows import Window
from quant_assets.signals import Indicator, MarketCandles, Strategy, has_indicators, own_series
from quant_assets.signals.own.market_candles import closing_ms

Json = dict[str, Any]


def charts_of(strategy: Strategy) -> list[str]:
    """Return the titles of the charts that a strategy's own indicators are drawn in, in the order of declaration."""
    return list(dict.fromkeys(indicator.chart for indicator in strategy.own_indicators.values() if indicator.chart))


def own_charts(
    strategies: Sequence[Strategy], candles: pd.DataFrame, window: Window, bars: Mapping[str, int]
) -> list[Json]:
    """Return a chart for each strategy, title and timeframe of an own indicator that is drawn.

    `candles` are those of one market; `bars` is the number of bars to show of each timeframe. A strategy whose
    indicators cannot be computed has its charts without series, and `problem` says why.
    """
    charts = []
    market = ("", "")
    by_market = MarketCandles(candles.assign(exchange="", symbol=""))
    for strategy in strategies:
        if not has_indicators(strategy) or not charts_of(strategy):
            continue
        frames = by_market.closed_bars(market, window.end_ms, strategy.look_back)
        try:
            series = own_series(strategy, frames)
        except Exception as error:  # noqa: BLE001 - a strategy may raise anything, and costs its own charts alone
            problem = f"{type(error).__name__}: {error}"
            charts += [_chart(strategy, chart, None, [], {}, problem) for chart in charts_of(strategy)]
            continue
        for chart in charts_of(strategy):
            for timeframe, by_name in series.items():
                shown = {name: values for name, values in by_name.items() if _chart_of(strategy, name) == chart}
                if shown:
                    count = bars[timeframe]
                    opened = (closing_ms(frames[timeframe], timeframe) - STEP_MS[timeframe])[-count:].tolist()
                    values = {name: _numbers(found[-count:].tolist()) for name, found in shown.items()}
                    charts.append(_chart(strategy, chart, timeframe, opened, values, ""))
    return charts


def _chart(strategy: Strategy, chart: str, timeframe: str | None, time: list[int], series: Json, problem: str) -> Json:
    return {
        "strategy": strategy.name,
        "chart": chart,
        "timeframe": timeframe,
        "time": time,
        "series": series,
        "problem": problem,
    }


def _chart_of(strategy: Strategy, name: str) -> str:
    return strategy.own_indicators.get(name, Indicator("")).chart


def _numbers(values: list[float]) -> list[float | None]:
    return [None if value != value else value for value in values]  # noqa: PLR0124 - NaN
