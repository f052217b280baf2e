"""Scores that strategies share, and validation of setups."""

from __future__ import annotations

import pytest

from quant_assets.signals.features.tolerance import above, below, within
from quant_assets.signals.scores import oi_flow, score_of, sentiment
from quant_assets.signals.setups import valid_setup
from quant_assets_tests.signals.factories import features


@pytest.mark.parametrize(
    ("z", "score"), [(None, 10), (0.0, 10), (1.5, 15), (3.0, 20), (9.0, 20), (-1.5, 5), (-3.0, 0), (-9.0, 0)]
)
def test_oi_flow_is_10_at_z_0_and_reaches_its_bounds_at_z_3(z: float | None, score: float) -> None:
    assert oi_flow(features(oi_z=z)) == pytest.approx(score)


@pytest.mark.parametrize(("z", "valid"), [(None, False), (1.5, False), (1.5 + 1e-15, False), (1.51, True)])
def test_z_score_is_valid_above_1_5(z: float | None, valid: bool) -> None:
    assert features(oi_z=z).oi_z_is_valid is valid


@pytest.mark.parametrize(
    ("bias", "funding", "ratio", "score"),
    [
        ("LONG", None, None, 5.0),
        ("LONG", 0.05, None, 2.5),
        ("LONG", -0.025, None, 6.25),
        ("LONG", 9.0, None, 2.5),
        ("LONG", None, 2.0, 2.5),
        ("LONG", None, 0.5, 7.5),
        ("LONG", None, 64.0, 2.5),
        ("LONG", 0.05, 2.0, 0.0),
        ("LONG", -0.05, 0.5, 10.0),
        ("SHORT", 0.05, 2.0, 10.0),
        ("SHORT", -0.05, 0.5, 0.0),
        ("NONE", 0.05, 2.0, 5.0),
        ("LONG", None, 0.0, 5.0),
        ("LONG", None, -1.0, 5.0),
    ],
)
def test_crowded_side_scores_lower(bias: str, funding: float | None, ratio: float | None, score: float) -> None:
    known = features(funding_rate_pct=funding, long_short_ratio=ratio)
    assert sentiment(known, bias) == pytest.approx(score)


def test_hourly_funding_is_scaled_by_8() -> None:
    hourly = features(funding_rate_pct=0.005, funding_interval_hours=1.0)
    assert sentiment(hourly, "LONG") == pytest.approx(3.0)
    assert sentiment(hourly._replace(funding_interval_hours=8.0), "LONG") == pytest.approx(4.75)
    assert sentiment(hourly._replace(funding_interval_hours=None), "LONG") == pytest.approx(4.75)


def test_sentiment_uses_known_values_of_a_neutral_market() -> None:
    assert sentiment(features(oi_status="neutral", funding_rate_pct=-0.05), "LONG") == 7.5


def test_score_is_the_sum_of_parts_minus_penalty_clipped_to_0_and_100() -> None:
    assert score_of({"trend": 25.0, "timing": 5.0, "penalty": 10.0}) == 20.0
    assert score_of({"trend": 5.0, "penalty": 20.0}) == 0.0
    assert score_of({"trend": 90.0, "structure": 20.0}) == 100.0


def test_score_is_rounded_to_6_decimals() -> None:
    assert score_of({"trend": 69.9999996}) == 70.0


def test_rr_is_reward_over_risk_on_both_sides() -> None:
    long, short = valid_setup("LONG", 100.0, 98.0, 106.0), valid_setup("SHORT", 100.0, 102.0, 94.0)
    assert long is not None
    assert short is not None
    assert long.rr == short.rr == 3.0


@pytest.mark.parametrize(
    ("side", "sl", "tp"),
    [
        ("LONG", 100.0, 110.0),
        ("LONG", 101.0, 110.0),
        ("LONG", 90.0, 100.0),
        ("LONG", 0.0, 110.0),
        ("LONG", -1.0, 110.0),
        ("SHORT", 100.0, 90.0),
        ("SHORT", 110.0, 100.0),
        ("SHORT", 110.0, 0.0),
        ("SHORT", 110.0, -1.0),
        ("LONG", float("nan"), 110.0),
    ],
)
def test_prices_in_the_wrong_order_are_no_setup(side: str, sl: float, tp: float) -> None:
    assert valid_setup(side, 100.0, sl, tp) is None


def test_comparisons_tolerate_rounding() -> None:
    assert not above(1.03 / 1.0 - 1.0, 0.03)
    assert not below(0.1 * 3, 0.3)
    assert within(0.7999999999999999, 0.3, 0.8)
    assert within(0.8000000000000003, 0.3, 0.8)
    assert above(0.3001, 0.3)
    assert above(1e-300, 0.0)
