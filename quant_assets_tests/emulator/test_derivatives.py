"""Test the derived derivatives data: causal, repeatable, and consistent with the price."""

from __future__ import annotations

import numpy as np
import pytest

from quant_assets.emulator import SimulatedMarket, simulate_candles
from quant_assets.emulator.derivatives import DATASETS, ContractProfile, derive_datasets

NOW = 1_768_842_000
CANDLES = simulate_candles(7, SimulatedMarket("BINANCE", "SOL", 138.0, 0.0042, 3e7), 900, NOW - 2000 * 900, NOW)
NATURE = ContractProfile(key=99, open_interest=8e6, decimals=2)
WHOLE = derive_datasets(CANDLES, NATURE)


@pytest.mark.parametrize("cut", [1, 2, 300, 1500])
def test_bar_depends_only_on_bars_up_to_itself(cut):
    early = derive_datasets(type(CANDLES)(*(values[:cut] for values in CANDLES)), NATURE)
    for dataset in DATASETS:
        times = early[dataset]["t"]
        for name, values in early[dataset].items():
            assert np.array_equal(values, WHOLE[dataset][name][: len(times)]), (dataset, name)


def test_contracts_differ_by_their_key():
    other = derive_datasets(CANDLES, ContractProfile(key=100, open_interest=8e6, decimals=2))
    assert not np.array_equal(other["open_interest"]["c"], WHOLE["open_interest"]["c"])


def interest_of(returns):
    """Return the open interest of a price path with these returns."""
    closes = 100.0 * np.exp(np.cumsum(returns))
    opens = np.r_[100.0, closes[:-1]]
    highs, lows = np.maximum(opens, closes), np.minimum(opens, closes)
    bars = type(CANDLES)(CANDLES.t[: len(returns)], opens, highs, lows, closes, np.ones(len(returns)))
    return derive_datasets(bars, NATURE)["open_interest"]["c"]


QUIET = np.random.default_rng(5).normal(0.0, 0.002, 900)


def test_open_interest_drops_at_price_jumps():
    jumpy = QUIET.copy()
    jumpy[700] = -0.03
    effect = np.log(interest_of(jumpy) / interest_of(QUIET))
    assert not effect[:700].any()
    assert effect[700] < -0.03


def test_open_interest_builds_up_in_a_trend():
    trending = QUIET.copy()
    trending[700:] += 0.001
    effect = np.log(interest_of(trending) / interest_of(QUIET))
    assert effect[-100:].mean() > 0.02


def test_open_interest_opens_at_previous_close_and_moves_like_real_data():
    bars = WHOLE["open_interest"]
    assert np.array_equal(bars["o"][1:], bars["c"][:-1])
    assert 0.001 < np.diff(np.log(bars["c"])).std() < 0.01


def test_funding_follows_momentum_and_defaults_to_the_interest_part():
    rates = WHOLE["funding_rate"]["c"]
    momentum = np.log(CANDLES.c[192:] / CANDLES.c[:-192])
    assert np.corrcoef(rates[192:], momentum)[0, 1] > 0.2
    assert (rates == 0.01).mean() > 0.3
    assert np.abs(rates).max() < 2


def test_longs_and_shorts_add_up_to_100_and_give_the_ratio():
    ratio = WHOLE["long_short_ratio"]
    assert np.array_equal(np.round(ratio["l"] + ratio["s"], 9), np.full(len(ratio["t"]), 100.0))
    assert np.array_equal(np.round(ratio["l"] / ratio["s"], 4), ratio["r"])


def test_ratio_follows_the_trend():
    momentum = np.log(CANDLES.c[96:] / CANDLES.c[:-96])
    assert np.corrcoef(WHOLE["long_short_ratio"]["r"][96:], momentum)[0, 1] > 0.3


def test_longs_are_liquidated_on_drops_and_shorts_on_rises():
    liquidations = WHOLE["liquidations"]
    at = np.searchsorted(CANDLES.t, liquidations["t"])
    falling = CANDLES.c[at] < CANDLES.o[at]
    assert 0.02 < len(at) / len(CANDLES.t) < 0.3
    assert (liquidations["l"] > liquidations["s"])[falling].mean() > 0.95
    assert (liquidations["s"] > liquidations["l"])[~falling].mean() > 0.95


def test_quote_amounts_are_base_amounts_times_price():
    dollars = derive_datasets(CANDLES, ContractProfile(key=99, open_interest=8e6, in_quote=True, decimals=2))
    assert dollars["open_interest"]["c"] == pytest.approx(WHOLE["open_interest"]["c"] * CANDLES.c)


def test_a_flat_market_has_no_liquidations_and_finite_data():
    flat = np.full(400, 1.0)
    data = derive_datasets(type(CANDLES)(CANDLES.t[:400], flat, flat, flat, flat, flat), NATURE)
    assert len(data["liquidations"]["t"]) == 0
    assert all(np.isfinite(values).all() for bars in data.values() for values in bars.values())


def test_no_candles_give_no_data():
    none = derive_datasets(type(CANDLES)(*(values[:0] for values in CANDLES)), NATURE)
    assert {len(bars["t"]) for bars in none.values()} == {0}
