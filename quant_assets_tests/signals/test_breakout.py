"""Breakout on `breakout_features`: a market at 100 that broke out at 100, with an ATR of 2."""

from __future__ import annotations

from typing import Any

import pytest

from quant_assets.signals import Setup, Verdict, judge
from quant_assets.signals.strategies.breakout import Breakout
from quant_assets_tests.signals.factories import breakout_features, features


def found(side: str = "LONG", **known: Any) -> Verdict:
    return judge(Breakout(), breakout_features(side, **known))


def setup(side: str = "LONG", **known: Any) -> Setup:
    verdict = found(side, **known)
    assert verdict.setup is not None, verdict.reason
    return verdict.setup


def test_without_a_trigger_it_waits_and_only_derivatives_score() -> None:
    verdict = judge(Breakout(), features(oi_z=1.5))
    assert (verdict.bias, verdict.action, verdict.reason) == ("NONE", "WAIT", "no_breakout")
    assert verdict.parts == {"geometry": 0.0, "momentum": 0.0, "oi_flow": 15.0, "sentiment": 5.0}
    assert verdict.score == 20.0


def test_geometry_is_percent_times_bars_over_500() -> None:
    # 110 → 99 is 10 %, over 20 bars: 40 × 200 / 500
    assert found().parts["geometry"] == 16.0
    assert found(trigger_end_close=55.0).parts["geometry"] == 40.0


@pytest.mark.parametrize(("strength", "points"), [(5.0, 15.0), (10.0, 30.0), (12.0, 30.0)])
def test_momentum_reaches_its_maximum_at_a_strength_of_10(strength: float, points: float) -> None:
    assert found(trigger_strength=strength).parts["momentum"] == points


def test_long_stop_is_below_the_low_before_the_break_and_target_above_the_line() -> None:
    # low 97 − 1 = 96 is above 100 − 5; target 100 + 1.618 × 10, less than 8 ATR away
    assert (setup().sl, setup().tp) == (96.0, pytest.approx(116.0))


def test_short_is_the_mirror_of_long() -> None:
    assert (setup("SHORT").sl, setup("SHORT").tp) == (104.0, pytest.approx(84.0))
    assert setup("SHORT").rr == setup().rr


@pytest.mark.parametrize(("side", "before", "sl"), [("LONG", 90.0, 95.0), ("SHORT", 110.0, 105.0)])
def test_stop_is_at_most_2_5_atr_from_the_close_of_the_break(side: str, before: float, sl: float) -> None:
    assert setup(side, trigger_before_low=before, trigger_before_high=before).sl == sl


@pytest.mark.parametrize(("side", "before", "sl"), [("LONG", 100.9, 99.0), ("SHORT", 99.1, 101.0)])
def test_stop_is_at_least_half_an_atr_from_the_price(side: str, before: float, sl: float) -> None:
    known = {"trigger_after_low": 99.5, "trigger_after_high": 100.5}
    assert setup(side, trigger_before_low=before, trigger_before_high=before, **known).sl == sl


@pytest.mark.parametrize(("side", "tp"), [("LONG", 108.09), ("SHORT", 91.91)])
def test_target_follows_the_range_along_the_line(side: str, tp: float) -> None:
    assert setup(side, trigger_line_high=100.0, trigger_line_low=95.0).tp == pytest.approx(tp)


@pytest.mark.parametrize(("side", "tp"), [("LONG", 116.0), ("SHORT", 84.0)])
def test_target_is_at_most_8_atr_away(side: str, tp: float) -> None:
    assert setup(side, trigger_line_high=150.0).tp == tp


@pytest.mark.parametrize(("price", "reason"), [(103.0, ""), (97.0, ""), (103.1, "away"), (96.9, "away")])
def test_price_more_than_3_percent_away_is_refused(price: float, reason: str) -> None:
    known = {"trigger_after_low": None, "trigger_after_high": None}
    assert found(price=price, **known).reason == ("price_moved_away" if reason else "")


@pytest.mark.parametrize(
    ("side", "low", "high", "hit"),
    [
        ("LONG", 96.1, 115.9, False),
        ("LONG", 96.0, 101.0, True),
        ("LONG", 99.0, 116.0, True),
        ("SHORT", 84.1, 103.9, False),
        ("SHORT", 99.0, 104.0, True),
        ("SHORT", 84.0, 101.0, True),
    ],
)
def test_stop_or_target_touched_since_the_break_is_already_hit(side: str, low: float, high: float, hit: bool) -> None:
    reason = found(side, trigger_after_low=low, trigger_after_high=high).reason
    assert reason == ("already_hit" if hit else "")


@pytest.mark.parametrize(("line_low", "reason"), [(102.5, ""), (102.6, "poor_risk_reward")])
def test_rr_below_1_is_refused(line_low: float, reason: str) -> None:
    # risk 4; reward 1.618 × (105 − low): 4.045 and 3.883
    assert found(trigger_line_low=line_low).reason == reason


def test_rr_of_exactly_1_is_accepted_despite_rounding() -> None:
    # both ways are 0.3: 10.3 − 10 and 10 − 9.7 differ in the last digits
    verdict = found(
        price=10.0,
        trigger_close=10.0,
        trigger_atr=0.12,
        trigger_before_low=9.76,
        trigger_line_high=10.0,
        trigger_line_low=10.0 - 0.3 / 1.618,
        trigger_after_low=None,
        trigger_after_high=None,
    )
    assert verdict.reason == ""


def test_gates_are_checked_in_order() -> None:
    away: dict[str, Any] = {"price": 110.0}
    hit: dict[str, Any] = {"trigger_after_high": 200.0}
    invalid: dict[str, Any] = {"trigger_line_high": 95.0}  # the target is the break's close, which is the price
    poor: dict[str, Any] = {"trigger_line_high": 96.0}
    assert found(**(away | hit | invalid)).reason == "price_moved_away"
    assert found(**(hit | invalid)).reason == "already_hit"
    assert found(**invalid, trigger_after_high=99.5).reason == "no_valid_setup"
    assert found(**poor).reason == "poor_risk_reward"
    assert found().reason == ""


def test_waiting_verdict_has_parts_but_no_setup() -> None:
    verdict = found(price=110.0)
    assert (verdict.action, verdict.setup, verdict.bias) == ("WAIT", None, "LONG")
    assert verdict.parts["geometry"] == 16.0


@pytest.mark.parametrize("side", ["LONG", "SHORT"])
def test_stop_too_close_comes_before_poor_risk_reward(side: str) -> None:
    sign = 1 if side == "LONG" else -1
    near = 100.0 - 0.3 * sign
    known = {"trigger_atr": 0.1, "trigger_before_low": near, "trigger_before_high": near}
    calm = {"trigger_after_low": 99.95, "trigger_after_high": 100.05}
    verdict = found(side, **known, **calm, trigger_line_high=100.1, trigger_line_low=100.0)
    assert (verdict.reason, verdict.reason_bound) == ("stop_too_close", 0.5)
    assert verdict.reason_value == pytest.approx(0.25)


def test_poor_risk_reward_reports_the_ratio_and_the_minimum() -> None:
    verdict = found(trigger_line_high=101.5, trigger_line_low=100.0)
    assert (verdict.reason, verdict.reason_bound) == ("poor_risk_reward", 1.0)
    assert verdict.reason_value == pytest.approx(1.5 * 1.618 / 4.0)


def test_moved_price_reports_the_distance_and_the_maximum() -> None:
    verdict = found(price=104.0)
    assert verdict.reason == "price_moved_away"
    assert (verdict.reason_value, verdict.reason_bound) == (pytest.approx(4.0), pytest.approx(3.0))
