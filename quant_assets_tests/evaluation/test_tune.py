"""A search of parameters: what it tries, what its choices see, and what it says of true and of worthless strategies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from quant_assets.common.windows import Window
from quant_assets.evaluation import Costs, Prices, counted, evaluate, full_range, price_bars
from quant_assets.evaluation.tuning import (
    FoldsError,
    RangeError,
    Trials,
    Tuning,
    draw_trials,
    scores_of_past,
    search_ranges,
    tune,
)
from quant_assets.evaluation.tuning.folds import make_folds
from quant_assets.evaluation.tuning.guided_search import Score, guided_trials
from quant_assets.markets.rules import ResolutionRules
from quant_assets.signals import Strategy, discover_strategies
from quant_assets_tests.evaluation.tuned_strategy import DAY_MS, START_MS, Noon, walking_candles

DAYS = 60
HOUR_MS = 3_600_000
STRATEGIES = {strategy.key: strategy for strategy in discover_strategies().strategies}


def tuned(candles: pd.DataFrame, strategy: Noon | None = None) -> Tuning:
    found = strategy or Noon()
    trials = draw_trials(found, search_ranges(found), 100, 0)
    return tune(candles, Prices(price_bars(candles), costs=Costs()), trials, *full_range(candles), 3, ResolutionRules())


@pytest.fixture(scope="module")
def candles() -> pd.DataFrame:
    return walking_candles(DAYS, edge=0.01)


@pytest.fixture(scope="module")
def found(candles: pd.DataFrame) -> Tuning:
    return tuned(candles)


def test_planted_edge_is_found_on_the_unseen_part(found: Tuning) -> None:
    assert found.reasons_against == []
    assert found.record["edge_r_interval"][0] > 0.2
    assert found.deflated_sharpe is not None
    assert found.deflated_sharpe > 0.95
    assert all(fold.is_chosen for fold in found.folds)


def test_worthless_strategy_does_not_beat_chance() -> None:
    found = tuned(walking_candles(DAYS, edge=0.0, seed=2))
    assert found.choice is not None  # the best of the past is always something
    assert found.record["too_few"] is False
    assert found.reasons_against == [
        "the unseen trades cannot be told from random entries, or did worse",
        "the deflated Sharpe ratio is below 0.95",
    ]


def test_record_of_the_parameters_in_force_is_that_of_evaluate(candles: pd.DataFrame, found: Tuning) -> None:
    first, last = full_range(candles)
    evaluated = evaluate(candles, Prices(price_bars(candles)), [Noon()], first, last, ResolutionRules())
    unseen = evaluated.trades["entry_ms"].between(
        found.folds[0].fold.unseen_first_ms, found.folds[-1].fold.unseen_last_ms
    )
    entered = counted(evaluated.trades[unseen])
    assert found.record_in_force["n"] == len(entered) > 100
    assert found.record_in_force["mean_r"] == pytest.approx(entered["net_r"].mean())


def test_choice_does_not_see_the_unseen_part(candles: pd.DataFrame, found: Tuning) -> None:
    """Bars of the last unseen part change no choice made before it; they change its record."""
    last = found.folds[-1]
    prices = candles[["open", "high", "low", "close"]].to_numpy()
    is_unseen = (candles["time_ms"] >= last.fold.unseen_first_ms).to_numpy()
    mirrored = candles.copy()
    mirrored[["open", "low", "high", "close"]] = np.where(is_unseen[:, None], 10_000 / prices, prices[:, [0, 2, 1, 3]])
    assert (mirrored["low"] <= mirrored["high"]).all()
    other = tuned(mirrored)
    assert [fold.values for fold in other.folds] == [fold.values for fold in found.folds]
    assert [fold.past_trades for fold in other.folds] == [fold.past_trades for fold in found.folds]
    assert other.folds[-1].record["mean_r"] < 0 < last.record["mean_r"]


def test_without_enough_trades_in_the_past_the_values_in_force_are_kept() -> None:
    candles = walking_candles(14, edge=0.008, markets=1)
    found = tuned(candles, Noon(distance_pct=1.2))
    assert [(fold.is_chosen, fold.values) for fold in found.folds] == [(False, {"distance_pct": 1.2})] * 3
    assert found.choice is None
    assert any("to be chosen by" in reason for reason in found.reasons_against)


def test_past_of_a_fold_ends_a_time_limit_before_its_unseen_part() -> None:
    folds = make_folds(START_MS, START_MS + 20 * DAY_MS, 48 * HOUR_MS, 4)
    assert [(fold.unseen_first_ms - START_MS) / DAY_MS for fold in folds] == [10, 12.5, 15, 17.5]
    assert [fold.unseen_first_ms - fold.past_last_ms for fold in folds] == [48 * HOUR_MS] * 4
    assert {fold.past_first_ms for fold in folds} == {START_MS}
    assert folds[-1].unseen_last_ms == START_MS + 20 * DAY_MS


@pytest.mark.parametrize(
    ("days", "count", "says"),
    [
        (7.0, 4, "needs entries of 8.0 days, and there are 7.0: .* get more history, or --folds 3"),
        (5.0, 1, "needs entries of 6.0 days, and there are 5.0: .* get more history$"),
        (-1.0, 1, "there are 0.0"),
    ],
)
def test_folds_that_do_not_fit_say_what_would(days: float, count: int, says: str) -> None:
    with pytest.raises(FoldsError, match=says):
        make_folds(START_MS, START_MS + int(days * DAY_MS), 48 * HOUR_MS, count)


def test_small_ranges_are_tried_completely_and_large_ones_at_random() -> None:
    legacy = STRATEGIES["legacy"]
    small = search_ranges(legacy, ["threshold=60:80:10", "legacy.min_reward=1:2:0.5"])
    whole = draw_trials(legacy, small, 100, 0)
    assert (whole.combinations, len(whole.strategies)) == (9, 9)
    assert whole.values(0) == {"threshold": 70.0, "min_reward": 2.0}
    some = [draw_trials(legacy, search_ranges(legacy), 20, seed) for seed in (1, 1, 2)]
    values = [[trials.values(number) for number in range(20)] for trials in some]
    assert values[0] == values[1] != values[2]
    assert len({tuple(one.items()) for one in values[0]}) == 20
    assert values[0][0] == {"threshold": 70.0, "stop_atr": 0.5, "min_reward": 2.0}


def suggested(score: Score, count: int, seed: int = 3) -> Trials:
    ranges = search_ranges(Noon(), ["distance_pct=0.6:1.6:0.02", "min_stop_pct=0:0.5:0.05"])
    return guided_trials(Noon(), ranges, count, seed, score)


def near_one(trials: Sequence[Strategy]) -> list[float | None]:
    """Say that a distance of 1.0 is best, and nothing of distances above 1.5."""
    return [None if one.distance_pct > 1.5 else -abs(one.distance_pct - 1.0) for one in trials]  # type: ignore[attr-defined]


def test_guided_trials_come_nearer_to_what_was_worth_more() -> None:
    found = suggested(near_one, 96)
    distances = [abs(found.values(number)["distance_pct"] - 1.0) for number in range(len(found.strategies))]
    assert found.strategies[0] == Noon()
    assert len(set(found.strategies)) == len(found.strategies) == 96
    assert np.median(distances[32:]) < 0.6 * np.median(distances[1:17])
    assert suggested(near_one, 32) == suggested(near_one, 32)
    assert suggested(near_one, 32, seed=4) != suggested(near_one, 32)


def test_guided_trials_see_the_first_past_alone(candles: pd.DataFrame) -> None:
    """Prices after the first fold's past may change as they like; those of its open trades are in the gap."""
    first, last = full_range(candles)
    middle_ms = (first.end_ms + last.end_ms) // 2

    def trials_of(table: pd.DataFrame) -> Trials:
        prices = Prices(price_bars(table), costs=Costs())
        return suggested(scores_of_past(table, prices, Noon(), first, last, 3), 20)

    is_later = candles["time_ms"] > middle_ms
    changed = candles.copy()
    for name in ("open", "high", "low", "close"):
        changed.loc[is_later, name] *= 1.5
    assert trials_of(changed) == trials_of(candles)
    changed = candles.assign(close=candles["close"].where(is_later, candles["open"]))
    assert trials_of(changed) != trials_of(candles)


def test_combinations_that_the_strategy_refuses_are_counted() -> None:
    @dataclass(frozen=True)
    class Picky(Noon):
        def __post_init__(self) -> None:
            if self.distance_pct > 1.3:
                raise ValueError("too far")

    trials = draw_trials(Picky(), search_ranges(Picky()), 100, 0)
    assert (len(trials.strategies), trials.refused) == (4, 2)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("treshold=50:60", "unknown parameter 'treshold'; numbers of Legacy are min_stop_pct, threshold, stop_atr"),
        ("threshold", "expected threshold=MIN:MAX or threshold=MIN:MAX:STEP"),
        ("threshold=50:high", "expected threshold=MIN:MAX"),
        ("threshold=50:60:1:2", "expected threshold=MIN:MAX"),
        ("threshold=60:50", "expected MIN up to MAX, within 0 to 100"),
        ("threshold=50:200", "expected MIN up to MAX, within 0 to 100"),
        ("threshold=nan:60", "expected MIN up to MAX"),
        ("threshold=50:60:0", "the step must be above 0"),
        ("threshold=50:60:0.0001", "100,001 values are too many, at most 10,000; choose a larger step"),
        ("threshold=70:70", "there is nothing to search: the ranges of threshold have no other values"),
    ],
)
def test_wrong_range_is_refused_with_what_would_be_right(text: str, says: str) -> None:
    with pytest.raises(RangeError, match=says.replace("(", r"\(")):
        draw_trials(STRATEGIES["legacy"], search_ranges(STRATEGIES["legacy"], [text]), 10, 0)


def test_range_given_twice_is_refused() -> None:
    with pytest.raises(RangeError, match="--range threshold is given twice"):
        search_ranges(STRATEGIES["legacy"], ["threshold=50:60", "threshold=60:70"])


def test_declared_search_ranges_lie_within_the_limits() -> None:
    for strategy in STRATEGIES.values():
        ranges = search_ranges(strategy)
        assert {one.parameter for one in ranges} == set(strategy.search_ranges)
        assert all(len(one.values) >= 5 for one in ranges)


def test_range_before_the_candles_is_refused(candles: pd.DataFrame) -> None:
    trials = draw_trials(Noon(), search_ranges(Noon()), 10, 0)
    first, last = (Window(window.end - timedelta(days=400)) for window in full_range(candles))
    with pytest.raises(ValueError, match="no 15m bar closed between"):
        tune(candles, Prices(price_bars(candles)), trials, first, last, 3, ResolutionRules())


def test_no_trade_at_all_is_said_plainly() -> None:
    candles = walking_candles(14, edge=0.0, markets=1)
    found = tuned(candles, replace(Noon(), min_stop_pct=50.0))
    assert (found.record["n"], found.sharpe, found.deflated_sharpe) == (0, None, None)
    assert found.reasons_against[0] == "too few to say: 0 unseen trades on 0 days"
