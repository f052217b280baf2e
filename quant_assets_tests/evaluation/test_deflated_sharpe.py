"""The deflated Sharpe ratio: the published example, and scipy as a second opinion."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats  # type: ignore[import-untyped]

from quant_assets.evaluation.tuning.deflated_sharpe import SharpeRatio, best_by_chance


def test_published_example() -> None:
    """Bailey and López de Prado 2014: 100 trials, of which the best has a ratio of 2.5 a year over five years."""
    trials = np.array([-1.0, 1.0] * 50)
    trials *= math.sqrt(0.5 / 250) / trials.std(ddof=1)
    chance = best_by_chance(list(trials), 100)
    assert chance == pytest.approx(0.1132, abs=5e-5)
    found = SharpeRatio(value=2.5 / math.sqrt(250), skew=-3.0, kurtosis=10.0, count=1250)
    assert found.value == pytest.approx(0.1581, abs=5e-5)
    assert found.probability_above(chance) == pytest.approx(0.9004, abs=5e-5)


def test_moments_and_probability_are_those_of_scipy() -> None:
    returns = np.random.default_rng(3).standard_t(5, 200) + 0.1
    found = SharpeRatio.of(returns)
    assert found is not None
    assert found.value == pytest.approx(returns.mean() / stats.tstd(returns))
    assert (found.skew, found.kurtosis) == pytest.approx((stats.skew(returns), stats.kurtosis(returns, fisher=False)))
    error = math.sqrt((1 - found.skew * found.value + (found.kurtosis - 1) / 4 * found.value**2) / 199)
    assert found.probability_above(0.05) == pytest.approx(stats.norm.sf(0.05, loc=found.value, scale=error))


def test_best_by_chance_is_the_mean_maximum_of_worthless_trials() -> None:
    drawn = np.random.default_rng(5).standard_normal((4_000, 50))
    assert best_by_chance(list(drawn[0] / drawn[0].std(ddof=1)), 50) == pytest.approx(
        drawn.max(axis=1).mean(), abs=0.03
    )


@pytest.mark.parametrize("returns", [[], [1.0], [0.0] * 9, [0.1] * 9], ids=["none", "one", "zeros", "equal"])
def test_returns_that_do_not_differ_have_no_ratio(returns: list[float]) -> None:
    assert SharpeRatio.of(np.array(returns)) is None


def test_one_trial_is_not_deflated() -> None:
    assert best_by_chance([0.3], 1) == 0.0
