"""The replay of many windows equals the windows one by one."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_assets.common.windows import Window, parse_timestamp
from quant_assets.signals import Features, LookAheadError, Verdict, candle_features_tables, discover_strategies
from quant_assets.signals.features import indicators
from quant_assets.signals.features.bars import newest_bars
from quant_assets.signals.features.candle_features import ltf_rows
from quant_assets.signals.replay import replay
from quant_assets.signals.replay.ltf_series import LtfSeries
from quant_assets.signals.strategies.breakout import Breakout
from quant_assets.signals.strategies.breakout_v2 import BreakoutV2
from quant_assets.signals.strategies.legacy import Legacy
from quant_assets_tests.faults.seeding import rounds
from quant_assets_tests.signals.factories import REAL_CANDLES, WINDOW, bars, random_candles, real_candles
from quant_assets_tests.signals.random_markets import Market, inputs, last_open_ms, ltf_beside, walk, with_gaps
from quant_assets_tests.signals.reference_comparison import candles, derivatives, symbol_map
from quant_assets_tests.signals.reference_inputs import HTF_MS, LTF_MS, Bar
from quant_assets_tests.signals.replay_comparison import check_replay, windows_until
from quant_assets_tests.signals.tick_markets import tick_walk
from quant_assets_tests.signals.wedge_markets import wedge_market

STRATEGIES = discover_strategies().strategies
EAGER = (
    *(Breakout(min_rr=0.3, max_distance=0.2), Legacy(threshold=45.0, min_stop_pct=0.0)),
    BreakoutV2(min_rr=0.3, max_distance=0.2, stop_atr=1.0),
)
"""Strategies with parameters that let more setups through."""


def long_walk(rng: random.Random, count: int, length_ms: int) -> list[Bar]:
    """Return bars up to the end of WINDOW, on coarse ticks or not, some with a long stretch that does not move."""
    last_ms = last_open_ms(length_ms, WINDOW.end_ms)
    if rng.random() < 0.4:
        found = tick_walk(rng, count, length_ms, last_ms)
    else:
        found = walk(rng, count, 10 ** rng.uniform(-6.0, 5.0), length_ms, last_ms)
    if rng.random() < 0.3:
        first = rng.randrange(count)
        last = first + rng.choice((60, 150, 1200))
        price = found[first].close
        still = [bar._replace(open=price, high=price, low=price, close=price) for bar in found[first:last]]
        found[first:last] = still
    return found


def market(seed: int) -> Market:
    """Make one market: a long, a short or an interrupted history, which may begin or stop within a day of WINDOW."""
    rng = random.Random(f"replay {seed}")
    if rng.random() < 0.3:
        wedge = wedge_market(seed, WINDOW.end_ms)
        return replace(wedge, symbol=f"R{seed}USDT")
    ltf = long_walk(rng, rng.choice((20, 60, 130, 320, 1490, 1560, 1900)), LTF_MS)
    htf = long_walk(rng, rng.choice((3, 49, 55, 130, 260, 1499, 1520)), HTF_MS)
    if rng.random() < 0.5:
        ltf = ltf_beside(rng, htf, len(ltf), ltf[-1].time_ms)
    if len(ltf) >= 60 and rng.random() < 0.4:
        ltf, htf = with_gaps(rng, ltf), with_gaps(rng, htf) if len(htf) > 10 else htf
    if rng.random() < 0.2:
        ltf = ltf[: -rng.randint(1, 19)]
    if rng.random() < 0.1:
        htf = htf[:-2]
    if rng.random() < 0.05:
        ltf = []
    return Market(f"R{seed}USDT", ltf, htf, inputs(rng, WINDOW.end_ms))


@given(
    seeds=st.sets(st.integers(0, 10**6), min_size=1, max_size=4),
    count=st.integers(1, 8),
    step=st.sampled_from((1, 3, 17)),
)
@settings(max_examples=rounds(4, 200), deadline=None)
def test_replay_of_generated_markets_equals_the_windows_one_by_one(seeds: set[int], count: int, step: int) -> None:
    markets = sorted((market(seed) for seed in seeds), key=lambda one: one.symbol)
    windows = windows_until(WINDOW, count, step)
    rng = random.Random(f"{sorted(seeds)} {count} {step}")
    known = {
        window.key: derivatives([replace(one, inputs=inputs(rng, window.end_ms)) for one in markets], window)
        for window in windows
        if rng.random() < 0.8
    }
    check_replay(candles(markets), windows, (*STRATEGIES[:1], *EAGER[1:]), known, symbol_map(markets))


@pytest.mark.skipif(not REAL_CANDLES.is_dir(), reason="no real candles beside the project")
@pytest.mark.parametrize("step", [1, 100])
def test_replay_of_real_markets_equals_the_windows_one_by_one(step: int) -> None:
    table = real_candles()
    some = sorted(set(table["symbol"]))[:: 1 if rounds(0, 1) else 20]
    last = Window(parse_timestamp("2026-01-19T17:00:00Z"))
    check_replay(
        table[table["symbol"].isin(some)].reset_index(drop=True), windows_until(last, rounds(6, 60), step), STRATEGIES
    )


def test_windows_in_any_order_have_their_own_tables() -> None:
    markets = [market(seed) for seed in range(4)]
    windows = windows_until(WINDOW, 5, 7)
    check_replay(candles(markets), [windows[place] for place in (3, 0, 4, 1, 2)], STRATEGIES)


def test_replay_without_candles_has_tables_without_rows() -> None:
    empty = candles([])
    assert candle_features_tables(empty, [WINDOW])[WINDOW.key].empty
    found = replay(empty, {}, [WINDOW], STRATEGIES)
    assert [(key, len(table)) for key, table in found.items()] == [(one.key, 0) for one in STRATEGIES]
    assert "window_end_ms" in found["legacy"]


def test_derivative_that_closed_after_its_window_is_refused() -> None:
    markets = [market(1)]
    first, last = windows_until(WINDOW, 2)
    with pytest.raises(LookAheadError):
        replay(candles(markets), {first.key: derivatives(markets, last)}, [first, last], STRATEGIES)


def test_later_bars_change_no_earlier_signal() -> None:
    markets = [market(seed) for seed in range(6)]
    windows = windows_until(WINDOW, 20)
    table = candles(markets)
    later = table["time_ms"] >= windows[9].end_ms
    changed = table.assign(**{name: table[name].where(~later, table[name] * 3.0) for name in ("high", "low", "close")})
    for strategy in STRATEGIES:
        before, after = (
            replay(some, {}, windows, [strategy])[strategy.key].query(f"window_end_ms <= {windows[9].end_ms}")
            for some in (table, changed)
        )
        assert before.equals(after)


@dataclass(frozen=True)
class MarketByMarket(Legacy):
    """A strategy without `judge_many` that fails on one market."""

    key = "market_by_market"

    def judge(self, features: Features) -> Verdict:
        if features.symbol == "M001USDT":
            raise ValueError("not this one")
        return super().judge(features)


def test_strategy_that_judges_market_by_market_reports_its_failures() -> None:
    failures: list[str] = []
    found = replay(random_candles(3), {}, windows_until(WINDOW, 2), [MarketByMarket()], on_failure=failures.append)
    table = found["market_by_market"]
    assert set(table.loc[table["reason"] == "strategy_failed", "symbol"]) == {"M001USDT"}
    assert failures == ["Legacy failed on MEXC M001USDT: ValueError: not this one"] * 2


def test_window_after_a_thousand_flat_bars_is_computed_alone() -> None:
    moved = 100.0 + np.cumsum(np.random.default_rng(1).normal(0.0, 1.0, 700))
    series = bars(np.concatenate((moved, np.full(1600, moved[-1]))))
    rows = LtfSeries(series).rows(np.array([700, 2300]))
    assert rows.last.rsi[0] > 0.0
    assert rows.last.rsi[1] == pytest.approx(0.0)
    assert rows.last.adx[1] == pytest.approx(0.0)


def test_small_volumes_after_a_huge_one_have_the_obv_of_the_window() -> None:
    rng = np.random.default_rng(2)
    volume = np.concatenate((np.full(1500, 1e15 / 3.0), rng.uniform(0.1, 1.0, 300)))
    series = bars(100.0 + np.cumsum(rng.normal(0.0, 1.0, 1800)), volume=volume)
    stops = np.arange(1700, 1800)
    expected = ltf_rows([newest_bars(series, stop) for stop in stops.tolist()])
    assert (LtfSeries(series).rows(stops).obv == expected.obv).all()


def test_ema200_starts_at_the_oldest_bar_of_each_window() -> None:
    series = bars(np.concatenate((np.full(300, 1000.0), np.linspace(1.0, 2.0, 1700))))
    stops = np.arange(1501, 2001, 83)
    expected = [indicators.ema(newest_bars(series, stop).close, 200)[-1] for stop in stops.tolist()]
    assert LtfSeries(series).rows(stops).last.ema200 == pytest.approx(expected, rel=1e-12)
