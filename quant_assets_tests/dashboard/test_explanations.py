"""Explanations have the measured value, the limit of the scan, and the values that a part depends on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from quant_assets.dashboard.explanations import explain_score
from quant_assets.dashboard.rows import rows_of
from quant_assets.feed.reasons import reason_sentence, reason_summary
from quant_assets.signals import COMMON_GATES, PENALTY, SUMS, GateIndex, discover_strategies, judge, strategies_in_force
from quant_assets_tests.dashboard.serving import GATES, Site
from quant_assets_tests.signals.factories import breakout_features

BY_NAME = {strategy.name: strategy for strategy in discover_strategies().strategies}


def waiting(strategy: str, reason: str, value: float | None = None, bound: float | None = None) -> dict[str, Any]:
    return {
        "strategy_name": strategy,
        "details": {"reason": reason, "reason_value": value, "reason_bound": bound},
    }


@pytest.mark.parametrize(
    ("strategy", "reason", "value", "bound", "summary", "limit"),
    [
        ("Breakout", "poor_risk_reward", 0.834, 1.0, "poor risk reward: 0.834 < 1", "at least 1 times"),
        ("Breakout", "price_moved_away", 4.12, 3.5, "price moved away: 4.12 % > 3.5 %", "at most 3.5 %"),
        ("Legacy", "stop_too_close", 0.2, 0.5, "stop too close: 0.2 % < 0.5 %", "at least 0.5 %"),
        ("Legacy", "score_below_threshold", 69.9999, 70.0, "score below threshold: 69.9999 < 70", "at least 70"),
        ("BreakoutV2", "oi_z_score_too_low", 1.5, 1.5, "oi z score too low: 1.5 = 1.5", "above 1.5"),
        ("BreakoutV2", "outside_range", 83.2, 80.0, "outside range: 83.2 > 80", "40–80 (LONG)"),
        ("Gone", "insufficient_history", 12.0, 50.0, "insufficient history: 12 < 50", "at least 50 closed bars"),
    ],
)
def test_reason_has_the_value_and_the_limit(
    strategy: str, reason: str, value: float, bound: float, summary: str, limit: str
) -> None:
    signal = waiting(strategy, reason, value, bound)
    assert reason_summary(signal, GATES) == summary
    assert limit in reason_sentence(signal, GATES)


@pytest.mark.parametrize("reason", COMMON_GATES)
def test_reason_of_a_version_1_feed_is_explained_without_numbers(reason: str) -> None:
    signal = {"strategy_name": "Legacy", "details": {"reason": reason}}
    assert reason_sentence(signal, GATES)
    assert reason_summary(signal, GATES) == reason.replace("_", " ")


def test_unknown_reason_is_shown_by_name_with_its_numbers() -> None:
    signal = waiting("Gone", "new_moon", 0.25, 0.5)
    assert reason_summary(signal, GATES) == "new moon: 0.25 < 0.5"
    assert reason_sentence(signal, GATES) == ""


def test_limit_is_that_of_the_signal_also_after_the_parameter_has_changed(tmp_path: Path) -> None:
    (tmp_path / "strategies.toml").write_text("[breakout]\nmax_distance = 0.05\n[breakout_v2]\nmin_rr = 4.5\n")
    configured = strategies_in_force(tmp_path / "strategies.toml")
    by_key = {strategy.key: strategy for strategy in configured}
    moved = judge(by_key["breakout"], breakout_features(price=106.0))
    poor = judge(by_key["breakout_v2"], breakout_features())
    for gates in (GATES, GateIndex(configured)):
        signal = waiting("Breakout", moved.reason, moved.reason_value, moved.reason_bound)
        assert "at most 5 % from" in reason_sentence(signal, gates)
        signal = waiting("BreakoutV2", poor.reason, poor.reason_value, poor.reason_bound)
        assert "at least 4.5 times" in reason_sentence(signal, gates)


def test_each_part_of_a_built_in_strategy_has_its_maximum_words_and_values(site: Site) -> None:
    read: dict[str, set[str]] = {}
    for signal in site.feed["signals"]:
        parts = explain_score(signal, BY_NAME[signal["strategy_name"]])
        assert [part.name for part in parts] == [n for n in signal["details"]["score_breakdown"] if n not in SUMS]
        assert all(part.explanation and part.max_points and part.points <= part.max_points for part in parts)
        for part in parts:
            read.setdefault(part.name, set()).add(part.values)
        composition = signal["observability"]["score_composition"]
        if signal["strategy_name"] == "Legacy" and "adx" in composition:
            assert parts[0].values == f"ADX on 4h {composition['adx']:,.1f}"
    changing = {"trend", "structure", "money_flow", "timing", "oi_flow", "sentiment", PENALTY, "range", "obv"}
    assert {name for name, values in read.items() if len(values) > 1} == changing


def test_part_of_a_strategy_that_is_not_installed_is_shown_by_name(site: Site) -> None:
    signal = site.feed["signals"][0]
    third_party = {**signal, "details": {**signal["details"], "score_breakdown": {"moon_phase": 12.0, "total": 12.0}}}
    (part,) = explain_score(third_party, None)
    assert (part.title, part.max_points, part.explanation, part.values) == ("Moon phase", None, "", "")
    (row,) = rows_of([third_party], GATES)
    assert row.bar == ((part.colour, 0.0, 12.0),) == (("p0", 0.0, 12.0),)


@pytest.mark.parametrize(
    ("age_seconds", "text"),
    [(0.0, None), (900.0, None), (960.0, "16 min old at the window's end"), (1800.0, "30 min old at the window's end")],
)
def test_price_age_is_shown_from_16_minutes_on(site: Site, age_seconds: float, text: str | None) -> None:
    (row,) = rows_of([{**site.feed["signals"][0], "price_age_seconds": age_seconds}], GATES)
    assert row.price_age == text


def test_old_price_is_marked_in_the_html(own_site: Site) -> None:
    feed = own_site.feed
    feed["signals"][0]["price_age_seconds"] = 1800.0
    own_site.write(orjson.dumps(feed))
    assert "30 min old at the window&#39;s end" in own_site.get("/").text.replace("'", "&#39;")
