"""Legacy on features made by hand. `GOOD` scores 25 + 20 + 20 + 5 + 10 + 5 = 85."""

from __future__ import annotations

from typing import Any

import pytest

from quant_assets.signals import Features, Verdict, judge
from quant_assets.signals.strategies.legacy import Legacy
from quant_assets_tests.signals.factories import features

GOOD = features(
    trend_bias="LONG",
    htf_adx=30.0,
    is_pullback=True,
    is_volume_quiet=True,
    obv_imbalance="BULLISH",
    ltf_atr=2.0,
    ltf_low_20=97.0,
    ltf_high_20=103.0,
    ltf_high_100=120.0,
    ltf_low_100=80.0,
)


def found(f: Features = GOOD, strategy: Legacy | None = None, **known: Any) -> Verdict:
    return judge(strategy or Legacy(), f._replace(**known))


def test_long_stop_is_half_an_atr_below_the_low_and_target_at_the_high() -> None:
    verdict = found()
    assert (verdict.action, verdict.score, verdict.reason) == ("LONG", 85.0, "")
    assert verdict.setup is not None
    assert (verdict.setup.entry, verdict.setup.sl, verdict.setup.tp) == (100.0, 96.0, 120.0)
    assert verdict.setup.rr == 5.0


def test_short_is_the_mirror_of_long() -> None:
    verdict = found(trend_bias="SHORT", obv_imbalance="BEARISH")
    assert verdict.setup is not None
    assert (verdict.action, verdict.score) == ("SHORT", 85.0)
    assert (verdict.setup.sl, verdict.setup.tp, verdict.setup.rr) == (104.0, 80.0, 5.0)


@pytest.mark.parametrize(("bias", "target"), [("LONG", 108.0), ("SHORT", 92.0)])
def test_target_is_at_least_twice_as_far_as_the_stop(bias: str, target: float) -> None:
    imbalance = {"LONG": "BULLISH", "SHORT": "BEARISH"}[bias]
    setup = found(trend_bias=bias, obv_imbalance=imbalance, ltf_high_100=101.0, ltf_low_100=99.0).setup
    assert setup is not None
    assert setup.tp == target


@pytest.mark.parametrize(
    ("known", "part", "points"),
    [
        ({}, "trend", 25.0),
        ({"htf_adx": 25.0}, "trend", 15.0),
        ({"htf_adx": None}, "trend", 15.0),
        ({"trend_bias": "NONE"}, "trend", 0.0),
        ({}, "structure", 20.0),
        ({"is_pullback": False}, "structure", 0.0),
        ({}, "money_flow", 20.0),
        ({"obv_imbalance": "NEUTRAL"}, "money_flow", 10.0),
        ({"obv_imbalance": "BEARISH"}, "money_flow", 0.0),
        ({"trend_bias": "NONE"}, "money_flow", 10.0),
        ({}, "timing", 5.0),
        ({"is_volume_quiet": False}, "timing", 0.0),
        ({"is_pullback": False}, "timing", 0.0),
        ({"oi_z": 1.5}, "oi_flow", 15.0),
        ({"funding_rate_pct": 0.05}, "sentiment", 2.5),
        ({}, "penalty", 0.0),
        ({"divergence": "BEARISH"}, "penalty", 10.0),
        ({"divergence": "BULLISH"}, "penalty", 0.0),
        ({"is_overextended": True}, "penalty", 10.0),
        ({"is_overextended": True, "divergence": "BEARISH"}, "penalty", 20.0),
        ({"trend_bias": "NONE", "divergence": "BEARISH"}, "penalty", 0.0),
    ],
)
def test_parts(known: dict[str, Any], part: str, points: float) -> None:
    assert found(**known).parts[part] == points


def test_penalty_is_subtracted_from_the_score() -> None:
    assert found(divergence="BEARISH").score == 75.0


def test_trend_score_and_setup_are_checked_in_order() -> None:
    bad: dict[str, Any] = {"ltf_low_20": 120.0, "is_pullback": False}
    assert found(trend_bias="NONE", **bad).reason == "no_trend"
    assert found(**bad).reason == "score_below_threshold"
    assert found(ltf_low_20=120.0).reason == "no_valid_setup"


@pytest.mark.parametrize(("threshold", "action"), [(85.0, "LONG"), (85.1, "WAIT")])
def test_threshold_is_inclusive_and_configurable(threshold: float, action: str) -> None:
    assert found(strategy=Legacy(threshold=threshold)).action == action


def test_score_that_rounds_to_the_threshold_reaches_it() -> None:
    verdict = found(oi_z=-1e-8)  # the sum is 84.99999997
    assert (verdict.score, found(strategy=Legacy(threshold=85.0), oi_z=-1e-8).action) == (85.0, "LONG")


def test_parts_are_computed_while_waiting() -> None:
    verdict = found(trend_bias="NONE")
    assert verdict.action == "WAIT"
    assert verdict.parts["structure"] == 20.0
    assert verdict.setup is None


def test_stop_too_close_comes_right_after_no_valid_setup() -> None:
    near: dict[str, Any] = {"ltf_low_20": 99.8, "ltf_atr": 0.2}  # the stop is at 99.7
    assert found(**near).reason == "stop_too_close"
    assert found(strategy=Legacy(min_stop_pct=0.25), **near).action == "LONG"
    assert found(**near, is_pullback=False).reason == "score_below_threshold"


def test_low_score_reports_the_score_and_the_threshold() -> None:
    verdict = found(is_pullback=False)
    assert (verdict.reason_value, verdict.reason_bound) == (verdict.score, 70.0)
