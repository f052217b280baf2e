"""The plain reference's own indicators against TA-Lib, so that the reference stands on tried ground.

Here: the numbers of `plain_indicators`. Not here: the engine's indicators.
"""

from __future__ import annotations

import random
from fractions import Fraction

import numpy as np
import pytest
import talib

from . import plain_indicators as plain


def _bars(seed: int, bars: int, price: float, flat: float) -> tuple[list[float], list[float], list[float], list[float]]:
    rng = random.Random(seed)
    highs, lows, closes, volumes = [], [], [], []
    for _ in range(bars):
        before = price
        if rng.random() >= flat:
            price *= 1.0 + rng.gauss(0.0, 0.01)
        highs.append(max(before, price) * (1.0 + abs(rng.gauss(0.0, 0.003)) * (flat < 1.0)))
        lows.append(min(before, price) * (1.0 - abs(rng.gauss(0.0, 0.003)) * (flat < 1.0)))
        closes.append(price)
        volumes.append(float(rng.randint(0, 10_000)))
    return highs, lows, closes, volumes


def _same(own: plain.Series, theirs: np.ndarray) -> None:
    as_numbers = np.array([np.nan if v is None else v for v in own])
    np.testing.assert_allclose(as_numbers, theirs, rtol=1e-9, atol=1e-12)


CASES = [(1, 28, 100.0, 0.0), (2, 300, 0.5, 0.3), (3, 1500, 40_000.0, 0.0), (4, 200, 3.0, 1.0), (5, 15, 1.0, 0.5)]


@pytest.mark.parametrize(("seed", "bars", "price", "flat"), CASES)
def test_plain_indicators_are_those_of_talib(seed: int, bars: int, price: float, flat: float) -> None:
    highs, lows, closes, volumes = _bars(seed, bars, price, flat)
    high, low, close, volume = (np.array(v) for v in (highs, lows, closes, volumes))
    _same(plain.rsi(closes, 14), talib.RSI(close, 14))
    _same(plain.atr(highs, lows, closes, 14), talib.ATR(high, low, close, 14))
    _same(plain.adx(highs, lows, closes, 14), talib.ADX(high, low, close, 14))
    for period in (10, 50, 200):
        _same(plain.ema(closes, period), talib.EMA(close, period))
    exact_obv = plain.obv(closes, [Fraction(v) for v in volumes])
    _same([float(v) for v in exact_obv], talib.OBV(close, volume))


@pytest.mark.parametrize(("seed", "bars", "price", "flat"), [c for c in CASES if c[1] >= 20])
def test_plain_bollinger_bands_are_those_of_talib(seed: int, bars: int, price: float, flat: float) -> None:
    closes = _bars(seed, bars, price, flat)[2]
    upper, _, lower = talib.BBANDS(np.array(closes), 20, 2.0, 2.0)
    assert plain.bollinger(closes, 20, 2.0) == pytest.approx((lower[-1], upper[-1]), rel=1e-9)
