"""Test the simulated market: a pure function of seed, market and time, with realistic moves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_assets.emulator import SimulatedMarket, simulate_candles
from quant_assets.emulator.simulated_market import aggregate_candles

NOW = 1_768_842_000
SOL = SimulatedMarket("BINANCE", "SOL", 138.0, 0.0042, 3e7)
WEEK = simulate_candles(7, SOL, 900, NOW - 7 * 86_400, NOW)


@settings(max_examples=30)
@given(first=st.integers(0, 671), count=st.integers(1, 200))
def test_bar_does_not_depend_on_the_requested_range(first, count):
    start = int(WEEK.t[first])
    some = simulate_candles(7, SOL, 900, start, start + count * 900)
    shared = np.isin(some.t, WEEK.t)
    for values, whole in zip(some, WEEK, strict=True):
        assert np.array_equal(values[shared], whole[first : first + count])


def test_4h_bars_are_merged_from_15m_bars():
    start = int(WEEK.t[0]) // 14_400 * 14_400
    quarters = simulate_candles(7, SOL, 900, start, start + 30 * 14_400)
    wholes = simulate_candles(7, SOL, 14_400, start, start + 30 * 14_400)
    for values, whole in zip(aggregate_candles(quarters, 14_400), wholes, strict=True):
        assert np.array_equal(values, whole)
    assert np.array_equal(wholes.h, quarters.h.reshape(-1, 16).max(axis=1))


def test_bars_are_valid_and_on_the_tick_grid():
    for level in (91_000.0, 0.0000058):
        bars = simulate_candles(7, SimulatedMarket("OKX", "BTC", level), 900, NOW - 86_400 * 20, NOW)
        assert np.array_equal(np.diff(bars.t), np.full(len(bars.t) - 1, 900))
        assert (bars.l <= np.minimum(bars.o, bars.c)).all()
        assert (bars.h >= np.maximum(bars.o, bars.c)).all()
        assert bars.l.min() > level / 5
        assert bars.h.max() < level * 5
        digits = {len(f"{price:.10e}".split("e")[0].rstrip("0").replace(".", "")) for price in bars.c}
        assert max(digits) <= 6


def test_prices_differ_by_seed_and_asset():
    def day(seed, market):
        return simulate_candles(seed, market, 900, NOW - 86_400, NOW).c

    assert not np.array_equal(day(7, SOL), day(8, SOL))
    assert not np.array_equal(day(7, SOL), day(7, SimulatedMarket("BINANCE", "ETH", 138.0, 0.0042, 3e7)))


def test_exchanges_agree_on_an_asset_to_a_fraction_of_a_percent():
    other = simulate_candles(7, SimulatedMarket("MEXC", "SOL", 138.0, 0.0042, 3e5), 900, NOW - 7 * 86_400, NOW)
    assert not np.array_equal(other.c, WEEK.c)
    assert np.abs(other.c / WEEK.c - 1).max() < 0.005


def test_assets_are_partly_correlated():
    btc = simulate_candles(
        7, SimulatedMarket("BINANCE", "BTC", 91_000.0, 0.0016, 9e7, 0.8), 14_400, NOW - 90 * 86_400, NOW
    )
    sol = simulate_candles(7, SOL, 14_400, NOW - 90 * 86_400, NOW)
    assert 0.15 < np.corrcoef(np.diff(np.log(btc.c)), np.diff(np.log(sol.c)))[0, 1] < 0.9


def test_returns_have_realistic_size_and_fat_tails():
    year = simulate_candles(7, SOL, 900, NOW - 365 * 86_400, NOW)
    returns = np.diff(np.log(year.c))
    assert 0.003 < returns.std() < 0.008
    assert np.abs(returns).max() > 5 * returns.std()
    assert np.corrcoef(np.abs(returns[1:]), year.v[2:])[0, 1] > 0.2


def test_bar_in_progress_converges_to_the_complete_bar():
    opened = NOW - 900
    (whole,) = np.stack(simulate_candles(7, SOL, 900, opened, NOW)[1:], axis=1)
    before = (np.nan, -np.inf, np.inf, np.nan, 0.0)
    for until in range(opened + 60, NOW, 120):
        (begun,) = np.stack(simulate_candles(7, SOL, 900, opened, NOW, until)[1:], axis=1)
        assert begun[0] == whole[0]
        assert before[1] <= begun[1] <= whole[1]
        assert before[2] >= begun[2] >= whole[2]
        assert begun[2] <= begun[3] <= begun[1]
        assert before[4] <= begun[4] <= whole[4]
        before = begun
    (ended,) = np.stack(simulate_candles(7, SOL, 900, opened, NOW, NOW)[1:], axis=1)
    assert np.array_equal(ended, whole)


def test_bar_is_absent_before_it_opens():
    assert len(simulate_candles(7, SOL, 900, NOW - 900, NOW + 9000, NOW).t) == 1
    assert len(simulate_candles(7, SOL, 900, NOW, NOW).t) == 0


def test_timeframe_that_is_no_multiple_of_15_minutes_is_refused():
    with pytest.raises(ValueError, match="multiple of 900"):
        simulate_candles(7, SOL, 600, NOW - 900, NOW)
