"""Explanations of reasons contain the measured value and the limit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from quant_assets.dashboard.explanations import REASONS, explain_reason, max_points_of
from quant_assets.dashboard.rows import rows_of
from quant_assets.feed.reasons import reason_summary
from quant_assets.signals import discover_strategies, judge, with_parameters
from quant_assets_tests.dashboard.serving import Site
from quant_assets_tests.signals.factories import breakout_features


def details(reason: str, value: float | None = None, bound: float | None = None) -> dict[str, Any]:
    return {"reason": reason, "reason_value": value, "reason_bound": bound}


@pytest.mark.parametrize(
    ("reason", "value", "bound", "summary"),
    [
        ("poor_risk_reward", 0.834, 1.0, "poor risk reward: 0.834 < 1"),
        ("price_moved_away", 4.12, 3.0, "price moved away: 4.12 % > 3 %"),
        ("stop_too_close", 0.2, 0.5, "stop too close: 0.2 % < 0.5 %"),
        ("score_below_threshold", 69.9999, 70.0, "score below threshold: 69.9999 < 70"),
        ("oi_z_score_too_low", 1.5, 1.5, "oi z score too low: 1.5 = 1.5"),
        ("outside_range", 83.2, 80.0, "outside range: 83.2 > 80"),
        ("insufficient_history", 12.0, 50.0, "insufficient history: 12 < 50"),
    ],
)
def test_explanation_has_the_value_and_the_limit(reason: str, value: float, bound: float, summary: str) -> None:
    assert reason_summary(details(reason, value, bound)) == summary
    words = explain_reason(details(reason, value, bound))
    assert f"{value:g}" in words
    assert f"{bound:g}" in words


@pytest.mark.parametrize("reason", REASONS)
def test_reason_of_a_version_1_feed_is_explained_without_numbers(reason: str) -> None:
    assert explain_reason({"reason": reason})
    assert reason_summary({"reason": reason}) == reason.replace("_", " ")


def test_market_without_a_timeframe_has_its_own_explanation() -> None:
    assert "no closed bar on 15m, or none on 4h" in explain_reason(details("insufficient_history", 0.0, 50.0))


def test_explanation_follows_configured_parameters(tmp_path: Path) -> None:
    (tmp_path / "strategies.toml").write_text("[breakout]\nmax_distance = 0.05\n[breakout_v2]\nmin_rr = 4.5\n")
    chosen = with_parameters(discover_strategies().strategies, tmp_path / "strategies.toml")
    by_key = {strategy.key: strategy for strategy in chosen}
    moved = judge(by_key["breakout"], breakout_features(price=106.0))
    poor = judge(by_key["breakout_v2"], breakout_features())
    assert "the limit is 5 %" in explain_reason(details(moved.reason, moved.reason_value, moved.reason_bound))
    assert "at least 4.5 is needed" in explain_reason(details(poor.reason, poor.reason_value, poor.reason_bound))


def test_max_points_match_the_strategies() -> None:
    for strategy in discover_strategies().strategies:
        assert set(strategy.max_points) == set(strategy.parts)
        assert all(max_points_of(part) == points for part, points in strategy.max_points.items())


@pytest.mark.parametrize(
    ("age_seconds", "text"),
    [(0.0, None), (900.0, None), (960.0, "16 min old at the window's end"), (1800.0, "30 min old at the window's end")],
)
def test_price_age_is_shown_from_16_minutes_on(site: Site, age_seconds: float, text: str | None) -> None:
    (row,) = rows_of([{**site.feed["signals"][0], "price_age_seconds": age_seconds}])
    assert row.price_age == text


def test_old_price_is_marked_in_the_html(own_site: Site) -> None:
    feed = own_site.feed
    feed["signals"][0]["price_age_seconds"] = 1800.0
    own_site.write(orjson.dumps(feed))
    assert "30 min old at the window&#39;s end" in own_site.get("/").text.replace("'", "&#39;")
