"""BreakoutV2 on `breakout_features`: a market at 100 that broke out at 100, with an ATR of 2 and a leg of 93 to 107."""

from __future__ import annotations

from typing import Any

import pytest

from quant_assets.signals import Setup, Verdict, judge
from quant_assets.signals.strategies.breakout_v2 import BreakoutV2
from quant_assets_tests.signals.factories import breakout_features, features


def found(side: str = "LONG", **known: Any) -> Verdict:
    return judge(BreakoutV2(), breakout_features(side, **known))


def setup(side: str = "LONG", **known: Any) -> Setup:
    verdict = found(side, **known)
    assert verdict.setup is not None, verdict.reason
    return verdict.setup


def test_without_a_trigger_it_waits_and_only_derivatives_score() -> None:
    verdict = judge(BreakoutV2(), features(htf_rsi=60.0, obv_slope=1.0, htf_atr=2.0, oi_z=3.0))
    assert (verdict.bias, verdict.reason, verdict.score) == ("NONE", "no_breakout", 25.0)
    assert {name for name, points in verdict.parts.items() if points} == {"oi_flow", "sentiment"}


def test_long_stop_is_3_atr_away_and_target_one_leg_above_the_leg() -> None:
    assert (setup().sl, setup().tp, setup().rr) == (94.0, 121.0, 3.5)


def test_short_is_the_mirror_of_long() -> None:
    assert (setup("SHORT").sl, setup("SHORT").tp, setup("SHORT").rr) == (106.0, 79.0, 3.5)
    assert found("SHORT").score == found().score


def test_stop_uses_the_last_atr_not_that_of_the_break() -> None:
    assert setup(trigger_atr=50.0).sl == 94.0


@pytest.mark.parametrize(
    ("z", "reason", "shown"), [(None, "", None), (1.5, "oi_z_score_too_low", False), (1.6, "", True)]
)
def test_open_interest_gate_refuses_only_known_values(z: float | None, reason: str, shown: bool | None) -> None:
    verdict = found(oi_z=z)
    assert verdict.reason == reason
    assert verdict.filters["oi_zscore"] is shown


@pytest.mark.parametrize(
    ("side", "slope", "aligned"),
    [("LONG", 1.0, True), ("LONG", 0.0, False), ("LONG", -1.0, False), ("SHORT", -1.0, True), ("SHORT", 0.0, False)],
)
def test_obv_slope_must_agree_with_the_break(side: str, slope: float, aligned: bool) -> None:
    verdict = found(side, obv_slope=slope)
    assert verdict.reason == ("" if aligned else "obv_against")
    assert verdict.parts["obv"] == (15.0 if aligned else 0.0)
    assert verdict.filters["obv_slope"] is aligned


@pytest.mark.parametrize(
    ("side", "rsi", "points"),
    [
        ("LONG", 39.9, 0.0),
        ("LONG", 40.0, 10.0),
        ("LONG", 49.9, 10.0),
        ("LONG", 50.0, 20.0),
        ("LONG", 70.0, 20.0),
        ("LONG", 70.1, 10.0),
        ("LONG", 80.0, 10.0),
        ("LONG", 80.1, 0.0),
        ("SHORT", 60.1, 0.0),
        ("SHORT", 60.0, 10.0),
        ("SHORT", 50.0, 20.0),
        ("SHORT", 30.0, 20.0),
        ("SHORT", 20.0, 10.0),
        ("SHORT", 19.9, 0.0),
    ],
)
def test_rsi_range_includes_its_bounds(side: str, rsi: float, points: float) -> None:
    verdict = found(side, htf_rsi=rsi)
    assert verdict.parts["range"] == points
    assert verdict.reason == ("" if points else "outside_range")


@pytest.mark.parametrize(
    ("leg_high", "points", "reason"),
    [(107.0, 15.0, ""), (105.5, 15.0, ""), (105.4, 10.0, ""), (102.5, 10.0, ""), (102.4, 0.0, "poor_risk_reward")],
)
def test_rr_of_2_is_accepted_and_rr_of_3_scores_the_maximum(leg_high: float, points: float, reason: str) -> None:
    # risk 6; reward 2 × high − 93 − 100
    verdict = found(trigger_leg_high=leg_high)
    assert (verdict.parts["risk_reward"], verdict.reason) == (points, reason)


@pytest.mark.parametrize(("strength", "points"), [(5.0, 10.0), (10.0, 20.0), (30.0, 20.0)])
def test_breakout_part_reaches_its_maximum_at_a_strength_of_10(strength: float, points: float) -> None:
    assert found(trigger_strength=strength).parts["breakout"] == points


def test_gates_are_checked_in_order() -> None:
    bad: dict[str, Any] = {
        "price": 110.0,
        "oi_z": 0.0,
        "obv_slope": -1.0,
        "htf_rsi": 90.0,
        "htf_atr": 50.0,
    }
    reasons = []
    for name in list(bad):
        reasons.append(found(**bad).reason)
        del bad[name]
    assert reasons == ["price_moved_away", "oi_z_score_too_low", "obv_against", "outside_range", "poor_risk_reward"]


def test_parts_are_computed_when_a_gate_refuses() -> None:
    verdict = found(price=102.0, obv_slope=-1.0)
    assert (verdict.action, verdict.setup) == ("WAIT", None)
    assert (verdict.parts["range"], verdict.parts["risk_reward"]) == (20.0, 15.0)


def test_stop_too_close_comes_right_before_poor_risk_reward() -> None:
    verdict = found(htf_atr=0.1, trigger_leg_high=100.05, trigger_leg_low=100.0)
    assert (verdict.reason, verdict.reason_value, verdict.reason_bound) == ("stop_too_close", pytest.approx(0.3), 0.5)
    assert found(htf_atr=0.1, htf_rsi=90.0).reason == "outside_range"


@pytest.mark.parametrize(
    ("known", "reason", "value", "bound"),
    [
        ({"oi_z": 0.5}, "oi_z_score_too_low", 0.5, 1.5),
        ({"htf_rsi": 81.0}, "outside_range", 81.0, 80.0),
        ({"htf_rsi": 39.0}, "outside_range", 39.0, 40.0),
        ({"trigger_leg_high": 102.0}, "poor_risk_reward", 11.0 / 6.0, 2.0),
        ({"trigger_leg_high": 95.0}, "poor_risk_reward", None, 2.0),
    ],
)
def test_reason_reports_the_value_and_the_threshold(
    known: dict[str, Any], reason: str, value: float | None, bound: float
) -> None:
    verdict = found(**known)
    assert (verdict.reason, verdict.reason_bound) == (reason, bound)
    assert verdict.reason_value == (None if value is None else pytest.approx(value))
