"""Replay some windows at once and one by one, and compare the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

import numpy as np
import pandas as pd

from quant_assets.common.windows import Window
from quant_assets.signals import (
    FeaturesCache,
    Strategy,
    candle_features_table,
    candle_features_tables,
    join_features,
    run_strategy,
)
from quant_assets.signals.replay import Derivatives, replay
from quant_assets_tests.signals.factories import NO_TABLE

PRICE_ERROR = 1e-9
"""Relative."""
SCORE_ERROR = 1e-9
"""Absolute, also of the two ratios that are 0 for many markets."""
ABSOLUTE = {"score", "obv_lead", "obv_slope"}


def windows_until(last: Window, count: int, step: int = 1) -> list[Window]:
    """Return every `step`-th window up to the last, the oldest first."""
    return [Window(last.end - timedelta(minutes=15 * step * ago)) for ago in range(count)][::-1]


def check_replay(
    candles: pd.DataFrame,
    windows: Sequence[Window],
    strategies: Sequence[Strategy],
    derivatives: Derivatives | None = None,
    symbol_map: pd.DataFrame = NO_TABLE,
) -> None:
    """Assert that the replay of some windows equals the windows one by one."""
    known: Mapping[str, Mapping[str, pd.DataFrame]] = derivatives or {}
    features = candle_features_tables(candles, windows)
    signals = replay(candles, known, windows, strategies, symbol_map)
    assert list(features) == [window.key for window in windows]
    for window in windows:
        expected = candle_features_table(candles, window)
        assert_same(expected, features[window.key])
        table, cache = join_features(expected, symbol_map, known.get(window.key, {}), window), FeaturesCache()
        for strategy in strategies:
            rows = signals[strategy.key].query(f"window_end_ms == {window.end_ms}")
            assert_same(
                run_strategy(strategy, table, cache=cache), rows.drop(columns="window_end_ms").reset_index(drop=True)
            )


def assert_same(expected: pd.DataFrame, actual: pd.DataFrame) -> None:
    """Assert that two tables are equal, their numbers within the errors that a replay may have."""
    assert expected.dtypes.to_dict() == actual.dtypes.to_dict()
    assert len(expected) == len(actual)
    for name in expected:
        if expected[name].dtype != np.float64:
            pd.testing.assert_series_equal(expected[name], actual[name])
            continue
        is_absolute = name in ABSOLUTE or str(name).startswith("part_")
        scale = np.maximum(np.abs(expected["obv_slope"]), 1.0) if name == "obv_slope" else 1.0
        np.testing.assert_allclose(
            actual[name] / scale,
            expected[name] / scale,
            rtol=0.0 if is_absolute else PRICE_ERROR,
            atol=SCORE_ERROR if is_absolute else 0.0,
            err_msg=str(name),
        )
