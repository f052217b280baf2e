"""Indicators of the reference implementation against TA-Lib."""

from __future__ import annotations

import random
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import talib

from . import reference_indicators as reference
from .reference_trendlines import rsi_pivots
from .tick_markets import tick_market


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


def _same(own: reference.Series, theirs: np.ndarray) -> None:
    as_numbers = np.array([np.nan if v is None else v for v in own])
    np.testing.assert_allclose(as_numbers, theirs, rtol=1e-9, atol=1e-12)


CASES = [(1, 28, 100.0, 0.0), (2, 300, 0.5, 0.3), (3, 1500, 40_000.0, 0.0), (4, 200, 3.0, 1.0), (5, 15, 1.0, 0.5)]


@pytest.mark.parametrize(("seed", "bars", "price", "flat"), CASES)
def test_reference_indicators_agree_with_talib(seed: int, bars: int, price: float, flat: float) -> None:
    highs, lows, closes, volumes = _bars(seed, bars, price, flat)
    high, low, close, volume = (np.array(v) for v in (highs, lows, closes, volumes))
    _same(reference.rsi(closes, 14), talib.RSI(close, 14))
    _same(reference.atr(highs, lows, closes, 14), talib.ATR(high, low, close, 14))
    _same(reference.adx(highs, lows, closes, 14), talib.ADX(high, low, close, 14))
    for period in (10, 50, 200):
        _same(reference.ema(closes, period), talib.EMA(close, period))
    exact_obv = reference.obv(closes, [Fraction(v) for v in volumes])
    _same([float(v) for v in exact_obv], talib.OBV(close, volume))


@pytest.mark.parametrize(("seed", "bars", "price", "flat"), [c for c in CASES if c[1] >= 20])
def test_reference_bollinger_bands_agree_with_talib(seed: int, bars: int, price: float, flat: float) -> None:
    closes = _bars(seed, bars, price, flat)[2]
    upper, _, lower = talib.BBANDS(np.array(closes), 20, 2.0, 2.0)
    assert reference.bollinger(closes, 20, 2.0) == pytest.approx((lower[-1], upper[-1]), rel=1e-9)


def test_reference_rsi_pivots_agree_with_exact_arithmetic_on_flat_stretches() -> None:
    found = 0
    for seed in range(60):
        closes = [bar.close for bar in tick_market(seed, 1_768_838_400_000).htf]
        exact = _exact_rsi(closes)
        for kind, sign in (("resistance", 1), ("support", -1)):
            pivots = [
                i
                for i in range(max(14 + 5, len(closes) - 120), len(closes) - 5)
                if all(sign * exact[i] > sign * exact[j] for j in range(i - 5, i + 6) if j != i)
            ]
            assert rsi_pivots(reference.rsi(closes, 14), len(closes), kind) == pivots, seed
            found += len(pivots)
    assert found > 100


def _exact_rsi(closes: list[float]) -> list[Fraction]:
    """RSI(14) / 100 of the closes as they are written, in exact fractions."""
    steps = [Fraction(repr(after)) - Fraction(repr(before)) for before, after in pairwise(closes)]
    up = sum((max(step, Fraction(0)) for step in steps[:14]), Fraction(0))
    down = sum((max(-step, Fraction(0)) for step in steps[:14]), Fraction(0))
    values = [Fraction(0)] * 14 + [up / (up + down) if up + down else Fraction(0)]
    for step in steps[14:]:
        up, down = up * 13 / 14 + max(step, Fraction(0)), down * 13 / 14 + max(-step, Fraction(0))
        values.append(up / (up + down) if up + down else Fraction(0))
    return values
