"""Strategies that judge by columns give the tables of those that judge market by market."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest

from quant_assets.signals import (
    FeatureColumns,
    Features,
    Strategy,
    Verdict,
    Verdicts,
    discover_strategies,
    join_features,
    run_strategy,
    run_strategy_by_columns,
)
from quant_assets.signals.features.table import DTYPES, candle_features_table, table_of
from quant_assets.signals.run_columns import judge_many
from quant_assets.signals.score_columns import round_points
from quant_assets.signals.scores import rounded
from quant_assets.signals.strategies.breakout import Breakout
from quant_assets.signals.strategies.breakout_v2 import BreakoutV2
from quant_assets.signals.strategies.legacy import Legacy
from quant_assets_tests.signals.factories import NO_TABLE, WINDOW, breakout_features, random_candles, real_candles
from quant_assets_tests.signals.random_markets import market
from quant_assets_tests.signals.reference_comparison import candles, derivatives, symbol_map
from quant_assets_tests.signals.wedge_markets import wedge_market

EAGER = (
    Breakout(min_rr=0.3, max_distance=0.2),
    BreakoutV2(min_rr=0.3, max_distance=0.2, stop_atr=1.0),
    Legacy(threshold=45.0, min_stop_pct=0.0),
)
STRATEGIES = (*discover_strategies().strategies, *EAGER)


def generated() -> pd.DataFrame:
    """Return the features of generated markets, with derivatives."""
    markets = [
        *(market(seed, WINDOW.end_ms) for seed in range(40)),
        *(wedge_market(s, WINDOW.end_ms) for s in range(40)),
    ]
    markets.sort(key=lambda one: one.symbol)
    features = candle_features_table(candles(markets), WINDOW)
    return join_features(features, symbol_map(markets), derivatives(markets, WINDOW), WINDOW)


def real() -> pd.DataFrame:
    """Return the features of real markets, with random derivatives."""
    features = join_features(candle_features_table(real_candles(), WINDOW), NO_TABLE, {}, WINDOW)
    rng, count = np.random.default_rng(1), len(features)
    return features.assign(
        oi_z=np.where(rng.random(count) < 0.3, np.nan, rng.normal(1.5, 2.0, count)),
        funding_rate_pct=np.where(rng.random(count) < 0.3, np.nan, rng.normal(0.0, 0.04, count)),
        funding_interval_hours=rng.choice([np.nan, 0.0, 1.0, 4.0, 8.0], count),
        long_short_ratio=rng.choice([np.nan, 0.0, -1.0, 1.0, 2.0, 0.7], count) * rng.lognormal(0.0, 0.2, count),
    )


def columns(table: pd.DataFrame) -> FeatureColumns:
    return {name: table[name].to_numpy() for name in DTYPES}


@pytest.mark.parametrize("source", [generated, real])
def test_built_in_strategies_judge_by_columns_as_market_by_market(source: object) -> None:
    assert callable(source)
    features = source()
    for strategy in STRATEGIES:
        assert judge_many(strategy, columns(features)) is not None
        expected, actual = run_strategy(strategy, features), run_strategy_by_columns(strategy, features)
        pd.testing.assert_frame_equal(actual, expected, check_exact=True)
        for name in strategy.filters:
            kinds = [list(map(type, table[f"filter_{name}"])) for table in (actual, expected)]
            assert kinds[0] == kinds[1]


@pytest.mark.parametrize(
    "changes",
    [
        {"price": 104.0},
        {"trigger_after_low": 90.0, "trigger_after_high": 117.0},
        {"htf_rsi": 81.0},
        {"htf_rsi": 10.0},
        {"htf_rsi": None},
        {"htf_atr": None},
        {"oi_z": 1.5},
        {"obv_slope": 0.0},
        {"obv_slope": None},
        {"trigger_atr": 0.01, "htf_atr": 0.01},
        {"trigger_after_low": None, "trigger_after_high": None},
        {"unusable": "stale_candles"},
        {"unusable": "insufficient_history", "ltf_bars": 7},
    ],
)
@pytest.mark.parametrize("side", ["LONG", "SHORT"])
def test_each_reason_to_wait_is_the_same_by_columns(side: str, changes: dict[str, object]) -> None:
    features = table_of([breakout_features(side, **changes), breakout_features(side)])
    for strategy in STRATEGIES:
        expected, actual = run_strategy(strategy, features), run_strategy_by_columns(strategy, features)
        pd.testing.assert_frame_equal(actual, expected, check_exact=True)


def test_points_are_rounded_as_python_does() -> None:
    middles = (np.arange(2_000) * 1e-6 + 0.5e-6) * 7.0
    points = np.concatenate((middles, np.nextafter(middles, 0.0), np.random.default_rng(1).uniform(0.0, 100.0, 2_000)))
    assert round_points(points).tolist() == [rounded(value) for value in points.tolist()]


@dataclass(frozen=True)
class Inherits(Legacy):
    """A strategy that judges in another way than the class whose `judge_many` it inherits."""

    def judge(self, features: Features) -> Verdict:
        return replace(super().judge(features), bias="NONE", setup=None, reason="not_today")


@dataclass(frozen=True)
class Raises(Legacy):
    """A strategy whose `judge_many` raises."""

    def judge_many(self, features: FeatureColumns) -> Verdicts:
        raise KeyError("no such feature")


@dataclass(frozen=True)
class LosesPart(Legacy):
    """A strategy whose verdicts by columns lack a part."""

    def judge_many(self, features: FeatureColumns) -> Verdicts:
        found = Legacy.judge_many(self, features)
        return replace(found, parts={name: points for name, points in found.parts.items() if name != "trend"})


@pytest.mark.parametrize("strategy", [Inherits(), Raises(), LosesPart()])
def test_strategy_that_cannot_judge_by_columns_judges_market_by_market(strategy: Strategy) -> None:
    features = join_features(candle_features_table(random_candles(4), WINDOW), NO_TABLE, {}, WINDOW)
    assert judge_many(strategy, columns(features)) is None
    pd.testing.assert_frame_equal(run_strategy_by_columns(strategy, features), run_strategy(strategy, features))


@dataclass(frozen=True)
class CloseStops(Legacy):
    """A strategy whose verdicts by columns do not refuse stops that are too close."""

    def judge_many(self, features: FeatureColumns) -> Verdicts:
        return replace(self, min_stop_pct=0.0, threshold=0.0)._judged_by(features)

    def _judged_by(self, features: FeatureColumns) -> Verdicts:
        return Legacy.judge_many(self, features)


def test_stop_that_is_too_close_is_refused_even_if_the_strategy_does_not() -> None:
    features = join_features(candle_features_table(random_candles(12), WINDOW), NO_TABLE, {}, WINDOW)
    found = judge_many(CloseStops(min_stop_pct=50.0), columns(features))
    assert found is not None
    assert set(found["reason"]) <= {"no_trend", "stop_too_close", "no_valid_setup"}
    assert "stop_too_close" in set(found["reason"])
    assert not np.isfinite(found["entry"]).any()
