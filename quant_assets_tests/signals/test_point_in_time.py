"""Bars that closed after the window's end do not change a single bit of a signal."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from quant_assets.common.timeframes import STEP_MS
from quant_assets.common.windows import Window
from quant_assets.signals import discover_strategies, features_table, run_strategy
from quant_assets_tests.signals.factories import NO_TABLE, WINDOW, as_bytes, random_candles, real_candles

SOURCES = pytest.mark.parametrize("source", [random_candles, real_candles])
WINDOWS_AGO = [1, 7, 16, 50, 333]


def tables(bars: pd.DataFrame, window: Window) -> list[bytes]:
    features = features_table(bars, NO_TABLE, {}, window)
    assert not features.empty
    return [as_bytes(features), *(as_bytes(run_strategy(each, features)) for each in discover_strategies().strategies)]


def is_closed(bars: pd.DataFrame, window: Window) -> np.ndarray:
    lengths = bars["timeframe"].astype("str").map(STEP_MS).to_numpy()
    return np.asarray(bars["time_ms"].to_numpy() + lengths <= window.end_ms)


@SOURCES
@pytest.mark.parametrize("windows_ago", WINDOWS_AGO)
def test_bars_after_the_window_change_no_bit_of_the_tables(
    source: Callable[[], pd.DataFrame], windows_ago: int
) -> None:
    window = Window(WINDOW.end - windows_ago * timedelta(minutes=15))
    bars = source()
    assert tables(bars, window) == tables(bars[is_closed(bars, window)], window)


@SOURCES
def test_content_of_bars_that_close_later_is_ignored(source: Callable[[], pd.DataFrame]) -> None:
    window = Window(WINDOW.end - timedelta(hours=9, minutes=15))
    bars = source()
    closed = is_closed(bars, window)
    other = bars.copy()
    for name in ("open", "high", "low", "close", "volume"):
        other[name] = np.where(closed, bars[name], 1e6)
    assert tables(bars, window) == tables(other, window)


@SOURCES
def test_row_of_a_market_is_independent_of_other_markets(source: Callable[[], pd.DataFrame]) -> None:
    bars = source()
    together = features_table(bars, NO_TABLE, {}, WINDOW)
    for row in (0, len(together) // 2, len(together) - 1):
        name = together.loc[row, ["exchange", "symbol"]]
        alone = bars[(bars["exchange"] == name["exchange"]) & (bars["symbol"] == name["symbol"])]
        found = features_table(alone, NO_TABLE, {}, WINDOW)
        assert as_bytes(found) == as_bytes(together.iloc[[row]].reset_index(drop=True))


def test_bars_older_than_the_newest_1500_are_ignored() -> None:
    bars = random_candles(2, 1600, 1600)
    window_bars = bars.groupby(["exchange", "symbol", "timeframe"], observed=True).tail(1500)
    assert tables(bars, WINDOW) == tables(window_bars, WINDOW)
