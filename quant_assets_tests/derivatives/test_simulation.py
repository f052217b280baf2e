"""Tests of the simulation: bounds of ages and budget."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_assets.cli.refresh_plan import simulation_summary
from quant_assets.cli.rendering import plan_lines
from quant_assets.derivatives.datasets import DATASETS
from quant_assets.derivatives.planner import min_minutes
from quant_assets.derivatives.policy import RefreshPolicy
from quant_assets.derivatives.simulation import MarketCounts, SimulatedDay, policy_order, round_robin_order, simulate

pytestmark = pytest.mark.slow


def empty_store(symbols: int, near: float = 0.2, seed: int = 1) -> pd.DataFrame:
    """Return never-known items of `symbols` symbols, a share near a setup, and half of those with a setup."""
    generator = np.random.default_rng(seed)
    chance, volume = generator.random(symbols), generator.lognormal(15, 2, symbols)
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "dataset": number,
                    "symbol": [f"S{n:05d}" for n in range(symbols)],
                    "known_through": np.nan,
                    "setup": chance < near / 2,
                    "near": chance < near,
                    "volume": volume,
                    "markets": 1,
                    "given": False,
                }
            )
            for number in range(len(DATASETS))
        ],
        ignore_index=True,
    )


@pytest.fixture(scope="module", params=[0.05, 0.2, 0.6], ids=lambda share: f"{share:.0%} near a setup")
def day(request: pytest.FixtureRequest) -> SimulatedDay:
    """Return 24 hours of 500 symbols × 4 datasets at 40 calls a minute, from an empty store."""
    return simulate(empty_store(500, request.param), policy_order(RefreshPolicy()), calls_per_minute=40)


@pytest.fixture(scope="module")
def round_robin_day() -> SimulatedDay:
    """Return the same day with all symbols and datasets in turn."""
    return simulate(empty_store(500), round_robin_order, calls_per_minute=40)


def test_over_99_percent_of_the_budget_is_used_while_items_are_due(day: SimulatedDay) -> None:
    assert 0.99 < day.budget_used_while_due <= 1.0


def test_all_items_are_known_in_the_minimum_time(day: SimulatedDay) -> None:
    assert day.all_known_after_seconds <= 60 * ((2000 - 1) // 40) * 1.01


@settings(max_examples=20)
@given(symbols=st.integers(1, 60), near=st.floats(0, 1), calls_per_minute=st.integers(5, 60), seed=st.integers(0, 1000))
def test_all_items_are_known_in_the_minimum_time_for_any_focus(
    symbols: int, near: float, calls_per_minute: int, seed: int
) -> None:
    items = empty_store(symbols, near, seed)
    day = simulate(items, policy_order(RefreshPolicy()), calls_per_minute=calls_per_minute, hours=1)
    minutes = min_minutes(len(items), calls_per_minute)
    # Each response takes time, also those of the last minute.
    assert day.all_known_after_seconds <= 60 * minutes * 1.01 + 5


def test_open_interest_in_focus_is_at_most_one_window_old_after_warm_up(day: SimulatedDay) -> None:
    warmed_up = day.windows["window"] * 900 >= day.all_known_after_seconds
    assert day.windows.loc[warmed_up, "focus_behind_seconds"].max() <= 900


def test_median_age_of_open_interest_is_under_12_minutes(day: SimulatedDay) -> None:
    summary = day.summary().set_index("dataset")
    assert summary.loc["open_interest", "asked_median_minutes"] < 12


def test_no_known_item_is_older_than_two_hours(day: SimulatedDay) -> None:
    assert day.ages["closed_max"].max() <= 7200


def test_round_robin_order_makes_open_interest_twice_as_old(day: SimulatedDay, round_robin_day: SimulatedDay) -> None:
    ages = [
        result.summary().set_index("dataset").loc["open_interest", "asked_median_minutes"]
        for result in (day, round_robin_day)
    ]
    assert ages[1] > 2 * ages[0]


def test_simulation_is_deterministic() -> None:
    one, other = (
        simulate(empty_store(60), policy_order(RefreshPolicy()), calls_per_minute=40, hours=3) for _ in range(2)
    )
    assert one.ages.equals(other.ages)
    assert one.calls == other.calls


@settings(max_examples=8)  # each a day of up to 72,000 calls
@given(
    symbols=st.integers(1, 120),
    near=st.floats(0, 1),
    calls_per_minute=st.integers(1, 100),
    seed=st.integers(0, 1000),
)
def test_no_item_starves_and_the_budget_is_not_exceeded(
    symbols: int, near: float, calls_per_minute: int, seed: int
) -> None:
    hours = 12.0
    day = simulate(
        empty_store(symbols, near, seed), policy_order(RefreshPolicy()), calls_per_minute=calls_per_minute, hours=hours
    )
    assert day.calls <= calls_per_minute * (hours * 60 + 1)
    # The bound: 105 minutes, or the duration of a refresh of all items if that is longer, and two windows.
    full_refresh_minutes = symbols * len(DATASETS) / calls_per_minute
    assert day.ages["closed_max"].max() / 60 <= max(105.0, full_refresh_minutes * 1.02) + 30


def given_by_exchanges(items: pd.DataFrame, share: float) -> pd.DataFrame:
    """Return items of which the exchanges of a share of the symbols give open interest and funding."""
    number = items["symbol"].str.slice(1).astype(int)
    of_exchanges = items["dataset"].isin([DATASETS.index("open_interest"), DATASETS.index("funding_rate")])
    return items.assign(given=of_exchanges & (number < share * (number.max() + 1)))


@pytest.fixture(scope="module")
def aided_day() -> SimulatedDay:
    """Return the day of 500 symbols whose exchanges give open interest and funding."""
    items = given_by_exchanges(empty_store(500), 1.0)
    order, markets = policy_order(RefreshPolicy()), MarketCounts(500, 500)
    return simulate(items, order, calls_per_minute=40, markets=markets)


def test_what_exchanges_give_is_known_at_each_window_without_a_call(aided_day: SimulatedDay) -> None:
    given = aided_day.ages[aided_day.ages["dataset"].isin(["open_interest", "funding_rate"])]
    assert given["known"].min() == 1.0
    assert given["asked_max"].max() <= 900
    assert aided_day.windows["of_window"].min() == 1.0


def test_saved_calls_make_the_other_datasets_younger(aided_day: SimulatedDay) -> None:
    alone = simulate(empty_store(500), policy_order(RefreshPolicy()), calls_per_minute=40)
    for dataset in ("long_short_ratio", "liquidations"):
        aided, unaided = (day.summary().set_index("dataset")["asked_median_minutes"] for day in (aided_day, alone))
        assert aided[dataset] < unaided[dataset]


def test_history_is_requested_hourly_until_exchanges_gave_30_windows(aided_day: SimulatedDay) -> None:
    """The first 29 windows need it: it is requested seven or eight times."""
    items = given_by_exchanges(empty_store(500), 1.0)
    others = simulate(items[items["dataset"] > 0], policy_order(RefreshPolicy()), calls_per_minute=40)
    assert 7 * 500 <= aided_day.calls - others.calls <= 8 * 500


def test_no_history_is_requested_that_exchanges_give() -> None:
    items = given_by_exchanges(empty_store(100), 1.0)
    order = policy_order(RefreshPolicy())
    day = simulate(items.assign(own_history=items["given"]), order, calls_per_minute=40, hours=4)
    others = simulate(items[~items["given"]], order, calls_per_minute=40, hours=4)
    assert day.calls == others.calls


def test_markets_whose_exchange_gives_nothing_are_still_requested() -> None:
    """A window's 30 calls give some of their 50 open interests at 2 calls a minute, and its 600 all at 40."""
    items = given_by_exchanges(empty_store(100), 0.5)
    order, markets = policy_order(RefreshPolicy()), MarketCounts(100, 50)
    slow, fast = (simulate(items, order, calls_per_minute=calls, hours=1, markets=markets) for calls in (2, 40))
    assert 0.5 < slow.windows["of_window"].iloc[0] < 0.8
    assert fast.windows["of_window"].min() == 1.0
    assert fast.windows["focus_behind_seconds"].iloc[-1] == 0.0


def test_simulation_too_short_to_fetch_all_items_is_reported() -> None:
    day = simulate(empty_store(400), policy_order(RefreshPolicy()), calls_per_minute=5, hours=1)
    account = simulation_summary(day)
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
    "given_by_exchanges": {"open_interest": 0, "funding_rate": 0},
    "calls_saved_by_exchanges": 0,
    "calls_due": 0,
    "minutes": 0,
    "calls_per_minute": 5,
}
