"""The refresh against a virtual clock: what is promised of ages and budget, and that nothing starves."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_assets.cli.planning import simulation_account
from quant_assets.cli.rendering import plan_lines
from quant_assets.derivatives.datasets import DATASETS
from quant_assets.derivatives.planner import least_minutes
from quant_assets.derivatives.policy import RefreshPolicy
from quant_assets.derivatives.simulation import SimulatedDay, by_policy, round_robin, simulate

pytestmark = pytest.mark.slow


def empty_store(symbols: int, focus: float = 0.2, seed: int = 1) -> pd.DataFrame:
    """Nothing known of so many symbols, a share of them in focus and half of those with a setup."""
    generator = np.random.default_rng(seed)
    chance, volume = generator.random(symbols), generator.lognormal(15, 2, symbols)
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "dataset": number,
                    "symbol": [f"S{n:05d}" for n in range(symbols)],
                    "known_through": np.nan,
                    "setup": chance < focus / 2,
                    "focus": chance < focus,
                    "volume": volume,
                }
            )
            for number in range(len(DATASETS))
        ],
        ignore_index=True,
    )


@pytest.fixture(scope="module", params=[0.05, 0.2, 0.6], ids=lambda share: f"{share:.0%} in focus")
def day(request: pytest.FixtureRequest) -> SimulatedDay:
    """24 hours of 500 symbols × 4 datasets at 40 calls a minute, from an empty store."""
    return simulate(empty_store(500, request.param), by_policy(RefreshPolicy()), calls_per_minute=40)


def test_over_99_percent_of_the_budget_are_used_while_anything_is_due(day: SimulatedDay) -> None:
    assert 0.99 < day.budget_used_while_due <= 1.0


def test_everything_is_known_in_the_physical_minimum(day: SimulatedDay) -> None:
    assert day.all_known_after_seconds <= 60 * ((2000 - 1) // 40) * 1.01


@settings(max_examples=50)
@given(
    symbols=st.integers(1, 60), focus=st.floats(0, 1), calls_per_minute=st.integers(5, 60), seed=st.integers(0, 1000)
)
def test_everything_is_known_in_the_least_minutes_whatever_is_in_focus(
    symbols: int, focus: float, calls_per_minute: int, seed: int
) -> None:
    items = empty_store(symbols, focus, seed)
    day = simulate(items, by_policy(RefreshPolicy()), calls_per_minute=calls_per_minute, hours=1)
    minutes = least_minutes(len(items), calls_per_minute)
    # Each of a minute's requests takes its moment, and so do the last ones.
    assert day.all_known_after_seconds <= 60 * minutes * 1.01 + 5


def test_open_interest_in_focus_is_never_older_than_one_window_once_everything_is_known(day: SimulatedDay) -> None:
    warmed_up = day.windows["window"] * 900 >= day.all_known_after_seconds
    assert day.windows.loc[warmed_up, "focus_behind_seconds"].max() <= 900


def test_the_median_age_of_open_interest_is_under_12_minutes(day: SimulatedDay) -> None:
    summary = day.summary().set_index("dataset")
    assert summary.loc["open_interest", "asked_median_minutes"] < 12


def test_nothing_known_is_ever_older_than_two_hours(day: SimulatedDay) -> None:
    assert day.ages["closed_max"].max() <= 7200


def test_the_plain_way_leaves_open_interest_twice_as_old(day: SimulatedDay) -> None:
    plain = simulate(empty_store(500), round_robin, calls_per_minute=40)
    ages = [
        result.summary().set_index("dataset").loc["open_interest", "asked_median_minutes"] for result in (day, plain)
    ]
    assert ages[1] > 2 * ages[0]


def test_the_same_input_gives_the_same_day() -> None:
    one, other = (simulate(empty_store(60), by_policy(RefreshPolicy()), calls_per_minute=40, hours=3) for _ in range(2))
    assert one.ages.equals(other.ages)
    assert one.calls == other.calls


@settings(max_examples=25)
@given(
    symbols=st.integers(1, 120),
    focus=st.floats(0, 1),
    calls_per_minute=st.integers(1, 100),
    seed=st.integers(0, 1000),
)
def test_nothing_starves_and_the_budget_is_never_exceeded(
    symbols: int, focus: float, calls_per_minute: int, seed: int
) -> None:
    hours = 12.0
    day = simulate(
        empty_store(symbols, focus, seed), by_policy(RefreshPolicy()), calls_per_minute=calls_per_minute, hours=hours
    )
    assert day.calls <= calls_per_minute * (hours * 60 + 1)
    # The bound: two hours, or the length of a sweep where that is longer, and the windows at either end.
    sweep_minutes = symbols * len(DATASETS) / calls_per_minute
    assert day.ages["closed_max"].max() / 60 <= max(105.0, sweep_minutes * 1.02) + 30


def test_a_day_too_short_for_a_sweep_is_told_of_as_such() -> None:
    day = simulate(empty_store(400), by_policy(RefreshPolicy()), calls_per_minute=5, hours=1)
    account = simulation_account(day)
    assert account["all_known_after_minutes"] is None
    assert "not everything known" in " ".join(
        plan_lines({**PLAN, "simulation": {"planned": account, "in_turn": account}})
    )


PLAN = {
    "markets": 0,
    "resolution": dict.fromkeys(("resolved", "aggregated", "neutral"), 0),
    "symbols": 0,
    "markets_in_focus": 0,
    "datasets": {},
    "calls_due": 0,
    "minutes": 0,
    "calls_per_minute": 5,
}
