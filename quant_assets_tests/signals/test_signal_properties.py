"""Properties of every signal, on random and on real markets."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_assets.common.timeframes import HTF
from quant_assets.signals import (
    Features,
    Verdict,
    discover_strategies,
    features_table,
    judge,
    market_features,
    run_strategy,
)
from quant_assets.signals.features.bars import Bars, MarketBars
from quant_assets.signals.strategies.breakout import Breakout
from quant_assets.signals.strategies.breakout_v2 import BreakoutV2
from quant_assets.signals.strategies.legacy import Legacy
from quant_assets_tests.signals.factories import NO_TABLE, WINDOW, breakout_features, market, real_candles, walk

pytestmark = pytest.mark.slow

STRATEGIES = discover_strategies().strategies


def walks(*volatility: float) -> st.SearchStrategy[MarketBars]:
    return st.builds(
        lambda seed, ltf, htf, volatility: market(walk(seed, ltf, volatility=volatility), walk(seed + 1, htf, HTF)),
        seed=st.integers(0, 10**6),
        ltf=st.integers(50, 300),
        htf=st.integers(50, 300),
        volatility=st.sampled_from(volatility),
    )


WALKS = walks(1e-6, 1e-3, 0.02, 0.3)
MANY = settings(max_examples=25)


def verdicts(of: MarketBars) -> list[tuple[Features, Verdict]]:
    found = market_features(of, WINDOW)
    return [(found, judge(strategy, found)) for strategy in STRATEGIES]


def scaled(part: Bars, factor: float) -> Bars:
    return Bars(part.time_ms, part.high * factor, part.low * factor, part.close * factor, part.volume)


def upside_down(part: Bars, level: float) -> Bars:
    return Bars(part.time_ms, level - part.low, level - part.high, level - part.close, part.volume)


@given(WALKS)
@MANY
def test_stop_entry_and_target_are_in_order(of: MarketBars) -> None:
    for found, verdict in verdicts(of):
        setup = verdict.setup
        if setup is None:
            assert verdict.reason
            continue
        assert setup.entry == found.price
        in_order = (setup.sl, setup.entry, setup.tp) if setup.side == "LONG" else (setup.tp, setup.entry, setup.sl)
        assert 0.0 < in_order[0] < in_order[1] < in_order[2]
        assert setup.side == verdict.bias
        assert setup.rr > 0.0


@given(WALKS)
@MANY
def test_parts_add_up_to_the_score(of: MarketBars) -> None:
    for _, verdict in verdicts(of):
        total = sum(-points if name == "penalty" else points for name, points in verdict.parts.items())
        assert verdict.score == pytest.approx(min(max(total, 0.0), 100.0), abs=1e-5)
        assert all(points >= 0.0 for points in verdict.parts.values())


@given(WALKS, st.sampled_from([1000.0, 1e-9]))
@MANY
def test_scores_are_independent_of_the_price_unit(of: MarketBars, factor: float) -> None:
    other = MarketBars(of.exchange, of.symbol, scaled(of.ltf, factor), scaled(of.htf, factor))
    for (_, one), (_, two) in zip(verdicts(of), verdicts(other), strict=True):
        assert (one.action, one.bias, one.reason) == (two.action, two.bias, two.reason)
        assert one.score == pytest.approx(two.score, abs=1e-6)
        assert (one.setup.rr if one.setup else 0) == pytest.approx(two.setup.rr if two.setup else 0, rel=1e-6)


@given(
    atr=st.floats(0.5, 8.0),
    strength=st.floats(0.0, 12.0),
    low=st.floats(90.0, 99.9),
    high=st.floats(100.1, 110.0),
    z=st.floats(-5.0, 5.0) | st.none(),
)
@MANY
def test_broken_support_scores_like_a_mirrored_broken_resistance(
    atr: float, strength: float, low: float, high: float, z: float | None
) -> None:
    known = {"trigger_atr": atr, "htf_atr": atr, "trigger_strength": strength, "oi_z": z}
    top, bottom = 200.0 - low, 200.0 - high
    long = breakout_features("LONG", trigger_before_low=low, trigger_leg_low=low, trigger_leg_high=high, **known)
    short = breakout_features("SHORT", trigger_before_high=top, trigger_leg_high=top, trigger_leg_low=bottom, **known)
    for strategy in (Breakout(), BreakoutV2()):
        one, two = judge(strategy, long), judge(strategy, short)
        assert (one.score, one.reason) == (two.score, two.reason)
        if one.setup and two.setup:
            assert (200.0 - one.setup.sl, 200.0 - one.setup.tp) == pytest.approx((two.setup.sl, two.setup.tp))


@given(walks(1e-6, 1e-3, 0.02))
@MANY
def test_mirrored_market_gets_mirrored_verdicts(of: MarketBars) -> None:
    """The mirrored price stays far above 0, and `min_stop_pct`, which is relative to the price, is off."""
    level = 4.0 * max(of.ltf.high.max(), of.htf.high.max())
    other = MarketBars(of.exchange, of.symbol, upside_down(of.ltf, level), upside_down(of.htf, level))
    one, two = market_features(of, WINDOW), market_features(other, WINDOW)
    opposite = {"LONG": "SHORT", "SHORT": "LONG", "NONE": "NONE", "": ""}
    assert two.trend_bias == opposite[one.trend_bias]
    assert two.trigger_side == opposite[one.trigger_side]
    assert (one.trigger_index, one.trigger_start_index) == (two.trigger_index, two.trigger_start_index)
    assert (one.resistance is None, one.support is None) == (two.support is None, two.resistance is None)
    legacy = Legacy(min_stop_pct=0.0)
    first, second = judge(legacy, one), judge(legacy, two)
    assert (first.score, first.reason) == (second.score, second.reason)
    if first.setup and second.setup:
        assert (level - first.setup.sl, level - first.setup.tp) == pytest.approx((second.setup.sl, second.setup.tp))


def test_flat_markets_wait() -> None:
    for level in (0.1, 3.0, 1e-7):
        for found, verdict in verdicts(market(np.full(300, level), np.full(300, level))):
            assert (verdict.action, verdict.bias) == ("WAIT", "NONE")
            assert (found.resistance, found.support, found.trigger) == (None, None, None)


def test_flat_stretch_after_a_move_adds_no_trendlines() -> None:
    """RSI of unchanged closes differs by rounding only, which must not create pivots."""
    moved = walk(3, 200, HTF, 0.02).close
    found = market_features(market(walk(3, 100), [*moved, *np.full(400, moved[-1])]), WINDOW)
    assert (found.resistance, found.support, found.trigger) == (None, None, None)


def test_verdicts_on_real_markets_are_within_bounds() -> None:
    features = features_table(real_candles(), NO_TABLE, {}, WINDOW)
    assert len(features) > 300
    for strategy in STRATEGIES:
        table = run_strategy(strategy, features)
        assert table["score"].between(0, 100).all()
        assert ((table["reason"] == "") == (table["action"] != "WAIT")).all()
        assert (table["action"] != "WAIT").any()


def test_scores_of_real_markets_are_independent_of_the_price_unit() -> None:
    bars = real_candles()
    other = bars.assign(**{name: bars[name] * 1000.0 for name in ("open", "high", "low", "close")})
    one, two = (features_table(each, NO_TABLE, {}, WINDOW) for each in (bars, other))
    for strategy in STRATEGIES:
        first, second = run_strategy(strategy, one), run_strategy(strategy, two)
        pd.testing.assert_frame_equal(
            first[["symbol", "action", "reason", "score", "rr"]],
            second[["symbol", "action", "reason", "score", "rr"]],
            rtol=1e-6,
            atol=1e-6,
        )
