"""Means, intervals, rank correlation and quartiles, with scipy as the second opinion."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats  # type: ignore[import-untyped]

from quant_assets.evaluation.record import max_drawdown
from quant_assets.evaluation.scores import by_quartile, quartile_bounds, quartiles_of, target_share
from quant_assets.evaluation.statistics import clustered_mean, is_too_few, rank_correlation, student_t


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 9, 10, 29, 30, 364, 3_651])
def test_student_t_agrees_with_scipy(degrees: int) -> None:
    assert student_t(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), rel=1e-9)


def test_interval_of_one_trade_a_day_is_that_of_a_mean() -> None:
    values = np.random.default_rng(1).normal(size=40)
    expected = stats.t.interval(0.95, 39, values.mean(), stats.sem(values))
    found = clustered_mean(values, np.arange(40))
    assert found.interval == pytest.approx(list(expected))


def test_repeated_trades_of_a_day_do_not_narrow_the_interval() -> None:
    values, days = np.random.default_rng(2).normal(size=12), np.arange(12)
    once, often = clustered_mean(values, days), clustered_mean(values.repeat(50), days.repeat(50))
    assert often.interval == pytest.approx(once.interval)


def test_interval_covers_the_truth_where_trades_of_a_day_move_together() -> None:
    random = np.random.default_rng(3)
    days = np.arange(12).repeat(30)
    covered = 0
    for _ in range(400):
        values = random.normal(size=12).repeat(30) + random.normal(size=360)
        low, high = clustered_mean(values, days).interval or [math.nan, math.nan]
        covered += low <= 0 <= high
    assert 0.91 <= covered / 400 <= 0.98


def test_one_day_has_a_mean_and_no_interval() -> None:
    found = clustered_mean(np.array([1.0, 2.0]), np.array([5, 5]))
    assert (found.value, found.interval) == (1.5, None)


@pytest.mark.parametrize(("trades", "days", "few"), [(29, 10, True), (30, 9, True), (30, 10, False), (0, 0, True)])
def test_under_30_trades_or_10_days_are_too_few(trades: int, days: int, few: bool) -> None:
    assert is_too_few(trades, days) is few


def test_rank_correlation_agrees_with_scipy_with_equal_values() -> None:
    random = np.random.default_rng(4)
    first, second = random.integers(0, 9, 200).astype(float), random.integers(0, 9, 200).astype(float)
    days = np.arange(200) // 10
    found = rank_correlation(first, second + first / 4, days)
    assert found.value == pytest.approx(stats.spearmanr(first, second + first / 4).statistic)
    without = [stats.spearmanr(first[days != d], (second + first / 4)[days != d]).statistic for d in range(20)]
    error = math.sqrt(19 / 20 * sum((value - np.mean(without)) ** 2 for value in without))
    margin = stats.t.ppf(0.975, 19) * error
    assert found.interval == pytest.approx([found.value - margin, found.value + margin])


@pytest.mark.parametrize("values", [np.array([]), np.ones(5)], ids=["no trade", "equal scores"])
def test_rank_correlation_of_constants_is_unknown(values: np.ndarray) -> None:
    assert rank_correlation(values, np.arange(float(len(values))), np.arange(len(values))).value is None


def test_equal_scores_are_in_one_quartile() -> None:
    scores = np.array([50.0] * 6 + [60.0, 70.0])
    assert quartile_bounds(scores).tolist() == [50.0, 50.0, 52.5]
    assert quartiles_of(scores, quartile_bounds(scores)).tolist() == [1] * 6 + [4, 4]


def test_empty_quartile_is_named() -> None:
    trades = pd.DataFrame({"score": [50.0] * 6 + [60.0, 70.0], "net_r": 1.0, "entry_ms": 0})
    assert [(entry["quartile"], entry["n"], entry["mean_r"]) for entry in by_quartile(trades)] == [
        (1, 6, 1.0),
        (2, 0, None),
        (3, 0, None),
        (4, 2, 1.0),
    ]


def test_break_even_share_follows_from_reward_and_costs() -> None:
    trades = pd.DataFrame(
        {
            "outcome": ["target", "stop", "stop", "expired"],
            "rr": [2.0, 3.0, 2.0, 9.0],
            "gross_r": [2.0, -1.0, -1.0, 0.0],
            "net_r": [1.9, -1.1, -1.1, 0.0],
        }
    )
    found = target_share(trades)
    assert found["target_share"] == pytest.approx(1 / 3)
    assert found["break_even_share"] == pytest.approx((1.1 / 3 + 1.1 / 4 + 1.1 / 3) / 3)


def test_drawdown_is_that_of_results_in_order_of_exits() -> None:
    trades = pd.DataFrame(
        {"exit_ms": [3, 1, 2], "entry_ms": 0, "net_r": [-2.0, 1.0, -1.5], "exchange": "A", "symbol": "B"}
    )
    assert max_drawdown(trades) == 3.5
    assert max_drawdown(trades.assign(net_r=[-1.0, -1.0, 3.0])) == 1.0
