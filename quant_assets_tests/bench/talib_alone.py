"""Bare TA-Lib calls, as a reference for the cost of the analysis."""

from __future__ import annotations

from collections.abc import Sequence

import talib

from quant_assets.signals.features.bars import MarketBars


def bare_indicators(markets: Sequence[MarketBars]) -> None:
    """Compute RSI, ADX, ATR and two EMAs on both timeframes, OBV and the Bollinger bands on 15m."""
    for market in markets:
        for bars in (market.ltf, market.htf):
            talib.RSI(bars.close, 14)
            talib.ADX(bars.high, bars.low, bars.close, 14)
            talib.ATR(bars.high, bars.low, bars.close, 14)
            talib.EMA(bars.close, 50)
            talib.EMA(bars.close, 200)
        talib.OBV(market.ltf.close, market.ltf.volume)
        talib.BBANDS(market.ltf.close, 20)
