"""Features of one market from its bars."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from quant_assets.common.timeframes import HTF
from quant_assets.common.windows import Window
from quant_assets.signals import COLUMNS, Features, market_features
from quant_assets.signals.features.bars import EMPTY_BARS
from quant_assets_tests.signals.factories import WINDOW, bars, market, walk

RISING = np.linspace(100, 200, 250)
FALLING = RISING[::-1]
FLAT = np.full(250, 0.1)


def seen(ltf: Any, htf: Any = RISING, window: Window = WINDOW) -> Features:
    return market_features(market(ltf, htf), window)


def test_every_field_is_described() -> None:
    assert [*COLUMNS, "extra", "own"] == list(Features._fields)
    assert all(COLUMNS.values())


def test_price_is_the_last_15m_close_or_else_the_last_4h_close() -> None:
    assert seen([1, 2, 3], [7, 8]).price == 3
    alone = seen([], [7, 8])
    assert (alone.price, alone.vol24h, alone.ltf_rsi) == (8, None, None)


def test_volume_24h_is_close_times_volume_of_96_bars() -> None:
    assert seen(bars(np.full(100, 2.0), volume=np.full(100, 3.0))).vol24h == 96 * 6
    assert seen([2, 2, 2]).vol24h == 6


def test_change_24h_uses_exactly_the_bar_24_hours_before() -> None:
    closes = np.linspace(100, 196, 97)
    assert seen(closes).change_24h_pct == pytest.approx(96.0)
    assert seen(closes[1:]).change_24h_pct is None
    whole = bars(np.linspace(99, 196, 98))
    gap = np.arange(98) != 1
    columns = {field.name: getattr(whole, field.name)[gap] for field in fields(whole)}
    assert seen(replace(whole, **columns)).change_24h_pct is None, "another bar is not that bar"


@pytest.mark.parametrize(("count", "unusable"), [(49, "insufficient_history"), (50, "")])
def test_market_needs_50_bars_on_each_timeframe(count: int, unusable: str) -> None:
    assert seen(walk(1, count), RISING).unusable == unusable
    assert seen(RISING, walk(1, count, HTF)).unusable == unusable


@pytest.mark.parametrize(("minutes", "unusable"), [(30, ""), (45, "stale_candles")])
def test_candles_are_stale_30_minutes_after_the_last_15m_close(minutes: int, unusable: str) -> None:
    ltf = bars(RISING)
    ltf = replace(ltf, time_ms=ltf.time_ms - minutes * 60_000)
    assert seen(ltf).unusable == unusable


@pytest.mark.parametrize(("minutes", "unusable"), [(420, ""), (435, "stale_candles")])
def test_candles_are_stale_8_hours_after_the_last_4h_close(minutes: int, unusable: str) -> None:
    later = Window(WINDOW.end + timedelta(minutes=minutes))  # the last 4h bar closes an hour before WINDOW's end
    ltf = bars(RISING)
    assert seen(replace(ltf, time_ms=ltf.time_ms + minutes * 60_000), window=later).unusable == unusable


@pytest.mark.parametrize(("htf", "bias", "trend"), [(RISING, "LONG", "UP"), (FALLING, "SHORT", "DOWN")])
def test_bias_is_the_order_of_close_and_averages(htf: np.ndarray, bias: str, trend: str) -> None:
    found = seen(FLAT, htf)
    assert (found.trend_bias, found.htf_bias, found.htf_trend) == (bias, bias, trend)


def test_flat_market_has_no_bias_despite_rounding() -> None:
    assert seen(FLAT, FLAT).trend_bias == "NONE"


def test_bias_uses_15m_closes_with_fewer_than_200_4h_bars() -> None:
    assert seen(FALLING, RISING[:199]).trend_bias == "SHORT"
    assert seen(FALLING, RISING[:200]).trend_bias == "LONG"


def test_no_bias_with_fewer_than_200_bars_on_both_timeframes() -> None:
    assert seen(FALLING[:199], RISING[:199]).trend_bias == "NONE"


def in_range(price: float, top: float = 110.0, bottom: float = 100.0, middle: float = 105.0) -> Any:
    """Make a market at `price` that spanned `bottom` to `top` 30 bars ago and was in the middle otherwise."""
    before, after = np.full(70, middle), np.full(29, middle)
    return bars([*before, *after, price], high=[*before, top, *after], low=[*before, bottom, *after])


@pytest.mark.parametrize(
    ("price", "depth", "is_pullback"),
    [(110.0, 0.0, False), (107.1, 0.29, False), (107.0, 0.3, True), (102.0, 0.8, True), (101.9, 0.81, False)],
)
def test_long_pullback_is_0_3_to_0_8_of_the_range_below_the_high(price: float, depth: float, is_pullback: bool) -> None:
    found = seen(in_range(price), RISING)
    assert found.pullback_depth == pytest.approx(depth)
    assert found.is_pullback is is_pullback


@pytest.mark.parametrize(("price", "depth", "is_pullback"), [(103.0, 0.3, True), (108.1, 0.81, False)])
def test_short_pullback_is_the_mirror(price: float, depth: float, is_pullback: bool) -> None:
    found = seen(in_range(price), FALLING)
    assert found.pullback_depth == pytest.approx(depth)
    assert found.is_pullback is is_pullback


def test_depth_of_exactly_0_8_is_a_pullback_despite_rounding() -> None:
    assert (70.9 - 69.42) / (71.27 - 69.42) > 0.8  # 1.48 / 1.85
    assert seen(in_range(70.9, 71.27, 69.42, middle=70.0), FALLING).is_pullback


def test_no_pullback_without_a_bias_or_a_range() -> None:
    assert seen(in_range(107.0), FLAT).pullback_depth is None
    assert seen(FLAT, RISING).pullback_depth is None


def test_price_beyond_the_band_on_the_side_of_the_bias_is_overextended() -> None:
    jump = [*([1.0, 1.1] * 50), 2.0]
    assert seen(jump, RISING).is_overextended
    assert not seen(jump, FALLING).is_overextended
    assert seen([3 - close for close in jump], FALLING).is_overextended


def test_price_on_the_band_is_not_overextended_despite_rounding() -> None:
    for level in (0.1, 0.7, 1.3):  # four of twenty closes at a new level stand exactly two deviations from the mean
        assert not seen([*([level] * 60), *([level * 1.1] * 4)], RISING).is_overextended


def test_flat_bands_are_never_overextended() -> None:
    assert not seen(FLAT, RISING).is_overextended


def flow(close: list[float], volume: list[float]) -> str:
    return seen(bars([*([close[0]] * 70), *close], volume=[*([0.0] * 70), *volume])).obv_imbalance


def test_obv_ahead_of_the_price_is_an_imbalance() -> None:
    up = [10.0, 11.0, 12.0, 11.0]  # price is half way up its range; OBV went up 2 and down 0 or 2
    assert flow(up, [0, 1, 1, 0.2]) == "BULLISH"
    assert flow(up, [0, 1, 1, 2.0]) == "BEARISH"
    assert flow(up, [0, 1, 1, 1.0]) == "NEUTRAL"


def test_obv_lead_of_exactly_a_quarter_is_neutral() -> None:
    assert flow([10.0, 11.0, 12.0, 11.0], [0, 1, 1, 0.5]) == "NEUTRAL"


def test_no_imbalance_without_a_range_of_price_or_obv() -> None:
    assert seen(FLAT).obv_imbalance == "NEUTRAL"
    assert seen(bars(RISING, volume=np.zeros(250))).obv_lead is None


def test_obv_slope_is_over_14_bars() -> None:
    assert seen(bars(RISING, volume=np.full(250, 3.0))).obv_slope == 3.0
    assert seen(bars(FALLING, volume=np.full(250, 3.0))).obv_slope == -3.0


def lows(first: float, second: float, drop: float) -> np.ndarray:
    """Make a market that falls hard to `first`, recovers, and drifts to `second`: RSI is higher at the second low."""
    parts = [(140, 121, 60), (120, first, 8), (first + 4, 118, 8), (117, second, 14), (second + drop, second + 4, 5)]
    return np.concatenate([np.linspace(*part) for part in parts])


def test_lower_low_with_a_higher_rsi_is_bullish() -> None:
    assert seen(lows(100, 99, 1)).divergence == "BULLISH"


def test_higher_low_is_no_divergence() -> None:
    assert seen(lows(100, 101, 1)).divergence == "NONE"


def test_higher_high_with_a_lower_rsi_is_bearish() -> None:
    assert seen(200 - lows(100, 99, 1)).divergence == "BEARISH"


def test_low_without_all_its_neighbours_is_no_pivot() -> None:
    assert seen(lows(100, 99, 1)[:-4]).divergence == "NONE"


def test_trendline_has_its_pivots_and_its_reverse_price() -> None:
    for seed in range(40):
        htf = walk(seed, 300, HTF, 0.02)
        found = seen(walk(seed, 100), htf)
        line = found.resistance
        if line is None or line.reverse_price is None:
            continue
        assert line.start_ms == htf.time_ms[line.start_index]
        assert line.end_ms == htf.time_ms[line.end_index]
        assert line.at_last_bar == pytest.approx(line.intercept + line.slope * 299)
        assert line.start_rsi == pytest.approx(line.intercept + line.slope * line.start_index)
        after = seen(walk(seed, 100), bars([*htf.close, line.reverse_price], HTF))
        assert after.htf_rsi == pytest.approx(line.intercept + line.slope * 300, abs=1e-9)
        return
    pytest.fail("no market had a resistance")


def test_trigger_has_the_prices_around_it() -> None:
    for seed in range(200):
        htf = walk(seed, 300, HTF, 0.02)
        t = seen(walk(seed, 100), htf).trigger
        if t is None or t.index == 299:
            continue
        a, b, s = t.start_index, t.end_index, t.index
        assert (t.close, t.start_close, t.end_close) == (htf.close[s], htf.close[a], htf.close[b])
        assert (t.before_high, t.before_low) == (htf.high[s - 5 : s].max(), htf.low[s - 5 : s].min())
        assert (t.line_high, t.line_low) == (htf.high[a : b + 1].max(), htf.low[a : b + 1].min())
        assert (t.leg_high, t.leg_low) == (htf.high[b : s + 1].max(), htf.low[b : s + 1].min())
        assert (t.after_high, t.after_low) == (htf.high[s + 1 :].max(), htf.low[s + 1 :].min())
        return
    pytest.fail("no market had a trigger")


def test_trigger_of_the_last_bar_has_no_prices_after_it() -> None:
    for seed in range(200):
        t = seen(walk(seed, 100), walk(seed, 300, HTF, 0.02)).trigger
        if t is not None and t.index == 299:
            assert (t.after_high, t.after_low) == (None, None)
            return
    pytest.fail("no market had a trigger of the last bar")


def test_market_without_4h_bars_has_15m_features() -> None:
    found = market_features(replace(market(RISING, []), htf=EMPTY_BARS), WINDOW)
    assert (found.htf_rsi, found.htf_trend, found.resistance, found.trigger) == (None, "", None, None)
    assert found.ltf_rsi == 100.0
