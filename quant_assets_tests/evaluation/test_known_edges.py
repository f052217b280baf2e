"""Records of strategies whose worth is known: none, a small one, and that of one that is given the future."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quant_assets.common.timeframes import STEP_MS
from quant_assets.evaluation import Costs, Prices, TradeRules, evaluate, follow_setups, full_range, price_bars, record
from quant_assets.evaluation.draws import Range
from quant_assets.evaluation.evaluate import described, windows_between, with_comparisons
from quant_assets.evaluation.setups import replay_trials
from quant_assets.markets.rules import ResolutionRules
from quant_assets.signals import FeatureColumns, Features, Strategy, Verdict, Verdicts
from quant_assets.signals.replay import WindowInputs, markets_of
from quant_assets.signals.verdict_columns import Refusals, valid_setups
from quant_assets_tests.evaluation.tuned_strategy import Noon, walking_candles

SEEDS = 20
MIN_SEEDS_WITHOUT_EDGE = 17
STEP = STEP_MS["15m"]
DISTANCE = 0.01


@dataclass(frozen=True)
class Chosen(Strategy):
    """LONG or SHORT where a subclass says so, with stop and target at the same distance."""

    name = "Chosen"
    key = "chosen"
    description = "LONG or SHORT."
    strategy_type = "test"
    parts = ("all",)
    max_holding_minutes = 720

    def judge(self, features: Features) -> Verdict:
        raise AssertionError("judged by columns")

    def sides(self, features: FeatureColumns) -> np.ndarray:
        """Return 1 for LONG, -1 for SHORT, 0 for neither, by market-window."""
        raise NotImplementedError

    def verdicts(self, features: FeatureColumns) -> Verdicts:
        price, sides = np.asarray(features["price"]), self.sides(features)
        sign = np.where(sides == 0, 1.0, sides)
        refusals = Refusals(len(price))
        refusals.refuse(sides == 0, "not_chosen")
        stop, target = price * (1 - sign * DISTANCE), price * (1 + sign * DISTANCE)
        return refusals.verdicts(sign, {"all": np.ones(len(price))}, valid_setups(sign, price, stop, target))


@dataclass(frozen=True)
class AtRandom(Chosen):
    """Chooses one market-window of fifty."""

    seed: int = 0

    def sides(self, features: FeatureColumns) -> np.ndarray:
        price = (np.asarray(features["price"]) * 1e6).astype(np.uint64)
        draws = [np.random.default_rng([self.seed, int(value)]).random() for value in price]
        return np.select([np.array(draws) < 0.01, np.array(draws) > 0.99], [1, -1], 0)

    def judge_many(self, features: FeatureColumns) -> Verdicts:
        return self.verdicts(features)


def records_of(candles: pd.DataFrame, trials: Sequence[Strategy]) -> list[dict[str, Any]]:
    """Return the record of each strategy; the features are computed once."""
    first, last = full_range(candles)
    prices = Prices(price_bars(candles), costs=Costs())
    inputs = WindowInputs.of(markets_of(candles), windows_between(candles, first.end_ms, last))
    setups, _ = replay_trials(candles, inputs, trials)
    rules = {str(number): TradeRules.of(trial) for number, trial in enumerate(trials)}
    trades = follow_setups(setups.assign(score=1.0), prices, rules)
    trades = with_comparisons(described(trades, ResolutionRules()), prices, Range(first.end_ms, last.end_ms))
    return [record(trades[trades["strategy"] == name], prices.costs) for name in rules]


def record_of(candles: pd.DataFrame, strategy: Strategy) -> dict[str, Any]:
    prices = Prices(price_bars(candles), costs=Costs())
    found = evaluate(candles, prices, [strategy], *full_range(candles), ResolutionRules())
    return found.records[strategy.name]


def test_random_strategies_have_no_edge() -> None:
    """Of intervals that cover 95 %, at least 17 of 20 include 0."""
    found = records_of(walking_candles(40, edge=0.0, seed=3), [AtRandom(seed=seed) for seed in range(SEEDS)])
    assert min(each["n"] for each in found) > 100
    including = [each for each in found if each["edge_r_interval"][0] <= 0 <= each["edge_r_interval"][1]]
    assert len(including) >= MIN_SEEDS_WITHOUT_EDGE


def test_random_strategy_loses_its_costs() -> None:
    (found,) = records_of(walking_candles(40, edge=0.0, seed=3), [AtRandom(seed=1)])
    costs_r = 2 * (Costs().fee_pct + Costs().slippage_pct) / 100 / DISTANCE
    assert found["mean_r"] == pytest.approx(-costs_r, abs=0.15)


def test_strategy_that_is_given_the_future_has_an_absurd_record() -> None:
    candles = walking_candles(40, edge=0.0, seed=3)
    of_ltf = candles[candles["timeframe"] == "15m"]
    later = of_ltf.groupby("symbol")["close"].shift(-24) / of_ltf["close"] - 1
    ends = zip(of_ltf["symbol"], of_ltf["time_ms"] + STEP, strict=True)
    moves = dict(zip(ends, later, strict=True))

    class Foresight(Chosen):
        name = "Foresight"

        def sides(self, features: FeatureColumns) -> np.ndarray:
            at = zip(features["symbol"], features["window_end_ms"], strict=True)
            move = np.array([moves[symbol, end_ms] for symbol, end_ms in at])
            return np.select([move > DISTANCE, move < -DISTANCE], [1, -1], 0)

        def judge_many(self, features: FeatureColumns) -> Verdicts:
            return self.verdicts(features)

    found = record_of(candles, Foresight())
    assert found["n"] > 100
    assert found["win_share"] > 0.75
    assert found["edge_r_interval"][0] > 0.4
    assert found["profit_factor"] > 3


def test_small_edge_is_found_with_enough_trades() -> None:
    """The price rises by 0.4 % in four hours from noon on, the walk moves by 0.8 %."""
    few, many = (record_of(walking_candles(days, edge=0.004, markets=6), Noon()) for days in (20, 150))
    assert few["edge_r_interval"][0] < 0 < few["edge_r_interval"][1]
    assert many["edge_r_interval"][0] > 0
    assert many["edge_r"] < 0.5
