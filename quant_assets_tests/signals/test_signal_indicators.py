"""Indicators against figures worked out by hand, and against pandas-ta-classic as a second opinion.

The second opinion is asked for its own formulas (`talib=False`). They have TA-Lib's definitions throughout: Wilder's
averages seeded with a simple mean (RSI, ATR), ADX with TA-Lib's seeding by a sum of 13, EMA seeded with a simple mean,
the population deviation in the bands. Only OBV differs: it is 0 at the first bar there and starts with the first volume
here, a constant that neither its range nor its slope can see.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pandas_ta_classic as second
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_assets.signals.features import indicators
from quant_assets.signals.features.trendlines import reverse_rsi_price
from quant_assets_tests.signals.factories import walk

WALK = walk(7, 400)
HIGH, LOW, CLOSE, VOLUME = (pd.Series(part) for part in (WALK.high, WALK.low, WALK.close, WALK.volume))


def last(values: np.ndarray) -> float:
    return float(indicators.last([values])[0])


def row(values: Any) -> np.ndarray:
    """Make a row of 20 as indicators see it: NaN in front of what is there."""
    return indicators.tails([np.asarray(values, dtype=float)], 20)


def bands(close: np.ndarray) -> tuple[float, float]:
    lower, upper = indicators.bollinger(row(close))
    return float(lower[0]), float(upper[0])


def reverse_price(close: np.ndarray, target: float) -> float:
    rises, falls = indicators.wilder_averages([close])
    return float(reverse_rsi_price(close[-1:], rises, falls, np.array([target]))[0])


def same(ours: np.ndarray, theirs: pd.Series) -> None:
    np.testing.assert_allclose(ours, theirs.to_numpy(), rtol=1e-9, atol=1e-9)


def test_rsi_agrees_with_pandas_ta() -> None:
    same(indicators.rsi(WALK.close), second.rsi(CLOSE, 14, talib=False))


def test_atr_agrees_with_pandas_ta() -> None:
    same(indicators.atr(WALK.high, WALK.low, WALK.close), second.atr(HIGH, LOW, CLOSE, 14, talib=False))


def test_adx_agrees_with_pandas_ta() -> None:
    same(indicators.adx(WALK.high, WALK.low, WALK.close), second.adx(HIGH, LOW, CLOSE, 14, talib=False)["ADX_14"])


@pytest.mark.parametrize("length", [50, 200])
def test_ema_agrees_with_pandas_ta(length: int) -> None:
    same(indicators.ema(WALK.close, length), second.ema(CLOSE, length, talib=False))


def test_bollinger_bands_agree_with_pandas_ta() -> None:
    theirs = second.bbands(CLOSE, 20, 2, talib=False).iloc[-1]
    assert bands(WALK.close) == pytest.approx((theirs["BBL_20_2.0"], theirs["BBU_20_2.0"]), rel=1e-9)


def test_obv_agrees_with_pandas_ta_up_to_a_constant() -> None:
    ours, theirs = indicators.obv(WALK.close, WALK.volume), second.obv(CLOSE, VOLUME, talib=False)
    same(np.diff(ours), theirs.diff()[1:])
    assert ours[0] == WALK.volume[0]


def test_rsi_is_the_share_of_rises() -> None:
    close = np.cumsum([100.0] + [2.0, -1.0] * 7)
    assert last(indicators.rsi(close)) == pytest.approx(100 * 14 / 21)


def test_rsi_of_a_flat_market_is_0() -> None:
    assert last(indicators.rsi(np.full(60, 0.1))) == 0.0


@pytest.mark.parametrize(("count", "known"), [(0, False), (14, False), (15, True)])
def test_indicator_is_nan_until_it_has_enough_bars(count: int, known: bool) -> None:
    assert (not math.isnan(last(indicators.rsi(WALK.close[:count])))) is known


def test_indicators_are_independent_of_the_price_scale() -> None:
    tiny = WALK.close * 2.0**-60
    assert last(indicators.rsi(tiny)) == pytest.approx(last(indicators.rsi(WALK.close)), rel=1e-12)


def test_bands_are_two_population_deviations_from_the_mean() -> None:
    assert bands(np.array([1.0, 3.0] * 10)) == pytest.approx((0.0, 4.0))


def test_equal_closes_have_no_deviation_despite_rounding() -> None:
    lower, upper = bands(np.full(20, 0.1))
    assert lower == upper


def test_narrow_band_on_a_high_price_keeps_its_precision() -> None:
    close = 100_000.0 + np.array([-0.001, 0.001] * 10)
    lower, upper = bands(close)
    assert upper - lower == pytest.approx(0.004, rel=1e-6)


@pytest.mark.parametrize(("volumes", "quiet"), [([0.1] * 20, False), ([0.1] * 19 + [0.0999], True), ([1, 2], False)])
def test_below_mean_tolerates_rounding(volumes: list[float], quiet: bool) -> None:
    assert indicators.below_mean(row(volumes)).tolist() == [quiet]


@pytest.mark.parametrize(
    ("values", "slope"), [([1, 3, 5, 7], 2.0), ([5, 5, 5], 0.0), ([0, 1, 0], 0.0), ([4], math.nan), ([], math.nan)]
)
def test_slope_is_the_least_squares_slope(values: list[float], slope: float) -> None:
    assert indicators.slope(row(values))[0] == pytest.approx(slope, nan_ok=True, abs=0.0, rel=1e-15)


def test_slope_of_equal_values_is_exactly_0() -> None:
    assert indicators.slope(row(np.full(14, 0.1))).tolist() == [0.0]


@pytest.mark.parametrize(("values", "position"), [([0, 4, 1], 0.25), ([3, 3], math.nan), ([], math.nan)])
def test_position_in_range_is_0_to_1_or_nan(values: list[float], position: float) -> None:
    assert indicators.position_in_range(row(values))[0] == pytest.approx(position, nan_ok=True)


def test_wilder_averages_agree_with_the_recursion() -> None:
    change = np.diff(WALK.close)
    rises, falls = np.maximum(change, 0), np.maximum(-change, 0)
    expected = []
    for moves in (rises, falls):
        average = moves[:14].mean()
        for move in moves[14:]:
            average = (13 * average + move) / 14
        expected.append(average)
    # series of several lengths at once, and one that is too short
    rises, falls = indicators.wilder_averages([WALK.close[:14], WALK.close, WALK.close[:100], WALK.close])
    assert (rises[1], falls[1]) == (rises[3], falls[3]) == pytest.approx(tuple(expected), rel=1e-12)
    assert np.isnan([rises[0], falls[0]]).all()
    assert rises[2] == indicators.wilder_averages([WALK.close[:100]])[0][0]


@given(seed=st.integers(0, 10**6), count=st.integers(15, 300), target=st.floats(0.5, 99.5))
@settings(max_examples=100)
def test_rsi_at_the_reverse_price_is_the_target(seed: int, count: int, target: float) -> None:
    close = walk(seed, count).close
    price = reverse_price(close, target)
    if math.isnan(price):
        return
    rsi = last(indicators.rsi(np.append(close, price)))
    assert math.isclose(rsi, target, abs_tol=1e-9)


def test_reverse_rsi_price_of_a_known_case() -> None:
    close = np.cumsum([100.0] + [2.0, -1.0] * 7)  # averages: 1 up, 0.5 down; RSI 66.7; close 107
    assert reverse_price(close, 80.0) == pytest.approx(107 + 13 * (4 * 0.5 - 1))
    assert reverse_price(close, 50.0) == pytest.approx(107 - 13 * (1 - 0.5))


@pytest.mark.parametrize("target", [-5.0, 0.0, 100.0, 120.0])
def test_reverse_price_of_an_impossible_rsi_is_nan(target: float) -> None:
    assert math.isnan(reverse_price(WALK.close, target))


def test_reverse_price_below_0_is_nan() -> None:
    assert math.isnan(reverse_price(np.cumsum([1.0] + [2.0, -1.0] * 7), 1.0))
