"""Random entries: which moments are drawn, and what they would have given."""

from __future__ import annotations

import zlib
from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quant_assets.evaluation import Costs, Prices, Range, TradeRules, chance_results, follow_setups, later_results
from quant_assets.evaluation.draws import DRAWS, draw, splitmix64
from quant_assets_tests.evaluation.markets import MARKET, START, STEP, Bar, bars_of, flat, random_bars, setup
from quant_assets_tests.evaluation.one_trade import BAR, follow_one

MASK = 2**64 - 1
LIMIT = 20 * STEP
RULES = {"Legacy": TradeRules(LIMIT, 0.5)}


def mixed(state: int) -> int:
    state = (state + 0x9E3779B97F4A7C15) & MASK
    state = ((state ^ state >> 30) * 0xBF58476D1CE4E5B9) & MASK
    state = ((state ^ state >> 27) * 0x94D049BB133111EB) & MASK
    return state ^ state >> 31


def test_splitmix64_gives_its_published_numbers() -> None:
    # The first outputs of the reference implementation for the seed 1234567, whose state grows by the increment.
    increment = 0x9E3779B97F4A7C15
    states = np.array([(1234567 + number * increment) & MASK for number in range(3)], dtype=np.uint64)
    assert splitmix64(states).tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_draws_follow_from_strategy_market_and_entry_alone() -> None:
    name = "Legacy|HYPERLIQUID|BTC|1768000000000"
    first = zlib.crc32(name.encode()) << 32
    assert draw(name, 977).tolist() == [mixed(first + k) % 977 for k in range(DRAWS)]


def test_mean_of_draws_equals_entries_followed_bar_by_bar() -> None:
    bars = random_bars(500, 11)
    trade = next(
        found
        for end in bars[120:]
        for found in traded(bars, setup(end.time, "SHORT", end.open * 1.02, end.open * 0.97))
        if found["outcome"] in {"target", "stop", "expired"} and found["mature"]
    )
    evaluated = Range(bars[30].time, bars[460].time)
    (found,) = chance_results(pd.DataFrame([trade]), prices(bars), evaluated)
    end_ms = bars[-1].time + BAR
    moments = [
        number
        for number, bar in enumerate(bars)
        if number >= 50 and evaluated.first_ms <= bar.time <= evaluated.last_ms and bar.time + LIMIT <= end_ms
    ]
    first = zlib.crc32(f"Legacy|{MARKET[0]}|{MARKET[1]}|{trade['entry_ms']}".encode()) << 32
    results = []
    for k in range(DRAWS):
        bar = bars[moments[mixed(first + k) % len(moments)]]
        stop, target = bar.open * (trade["stop"] / trade["entry"]), bar.open * (trade["target"] / trade["entry"])
        followed = follow_one(bars, bar.time, -1, stop, target, LIMIT, 0.5, end_ms)
        if followed.outcome != "lost":
            risk = stop - bar.open
            results.append((bar.open - followed.exit) / risk - 0.0007 * (bar.open + followed.exit) / risk)
    assert len(results) < DRAWS  # some are lost in gaps
    assert found == pytest.approx(np.mean(results), rel=1e-12)


def test_market_without_a_moment_has_no_chance_result() -> None:
    bars = random_bars(60, 1)
    trade = traded(bars, setup(bars[55].time, "LONG", bars[55].open * 0.97, bars[55].open * 1.03))
    assert np.isnan(chance_results(pd.DataFrame(trade), prices(bars), Range(0, bars[-1].time))).all()


def test_random_entries_do_as_well_as_a_random_strategy() -> None:
    bars = random_bars(3_000, 5)
    chosen = np.random.default_rng(5).choice(np.arange(100, 2_900), 300, replace=False)
    setups = [setup(bars[k].time, "LONG", bars[k].open * 0.98, bars[k].open * 1.02) for k in sorted(chosen)]
    found = follow_setups(pd.DataFrame(setups), prices(bars), RULES)
    entered = found[found["outcome"].isin(["target", "stop", "expired"])]
    chance = chance_results(entered, prices(bars), Range(0, bars[-1].time))
    assert abs(entered["net_r"].mean() - chance.mean()) < 0.15


def test_entry_one_bar_later_keeps_stop_target_and_limit() -> None:
    bars = [*flat(2), *(Bar(START + number * STEP, 100 + number / 10, 101, 99.5, 100) for number in range(2, 30))]
    (trade,) = traded(bars, setup(START + 2 * STEP, "LONG", 99.0, 102.0))
    (later,) = later_results(pd.DataFrame([trade]), prices(bars))
    entry, exit_price = 100.3, 102.2  # the bar that opens at the limit opens above the target, and the limit goes first
    assert later == pytest.approx((exit_price - entry - 0.0007 * (entry + exit_price)) / (entry - 99.0))


def test_later_entry_beyond_the_target_has_no_result() -> None:
    bars = [*flat(3), Bar(START + 3 * STEP, 103, 104, 102, 103), *flat(30)[4:]]
    (trade,) = traded(bars, setup(START + 2 * STEP, "LONG", 99.0, 102.0))
    assert np.isnan(later_results(pd.DataFrame([trade]), prices(bars))).all()


def prices(bars: list[Bar]) -> Prices:
    return Prices({MARKET: bars_of(bars)}, costs=Costs())


def traded(bars: list[Bar], *setups: dict[str, object]) -> list[dict[Hashable, Any]]:
    return follow_setups(pd.DataFrame(setups), prices(bars), RULES).to_dict("records")
