"""Own indicators in a replay equal those of the windows one by one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

import pandas as pd
import pytest
import talib

from quant_assets.common.timeframes import HTF, LTF
from quant_assets.common.windows import Window
from quant_assets.signals import Indicator, MarketCandles, own_values, run_strategy, usable_markets
from quant_assets.signals.features.table import features_table
from quant_assets.signals.replay import replay
from quant_assets_tests.signals.factories import NO_TABLE, WINDOW, random_candles
from quant_assets_tests.signals.test_own_indicators import Own

Bars = Mapping[str, pd.DataFrame]
CANDLES = random_candles(3, ltf_bars=130, htf_bars=80)
WINDOWS = [Window(WINDOW.end - number * timedelta(minutes=15)) for number in reversed(range(40))]


@dataclass(frozen=True)
class Recursive(Own):
    """Scores by the mean of three 15m closes, and has a recursive indicator of 4h too."""

    own_indicators: ClassVar = {"fast": Indicator("Mean of three closes."), "slow": Indicator("EMA(9) of 4h closes.")}
    look_back: ClassVar[int] = 400

    def indicators(self, bars: Bars) -> Any:
        return {
            LTF: {"fast": bars[LTF]["close"].rolling(3).mean()},
            HTF: {"slow": talib.EMA(bars[HTF]["close"], 9)},
        }


@dataclass(frozen=True)
class NeedsFewBars(Own):
    """Raises on more than 120 bars, which a replay's first call has."""

    def indicators(self, bars: Bars) -> Any:
        if len(bars[LTF]) > 120:
            raise ValueError("too many bars")
        return {LTF: {"fast": bars[LTF]["close"].rolling(3).mean()}}


def one_by_one(strategy: Own, failures: list[str]) -> pd.DataFrame:
    tables = []
    by_market = MarketCandles(CANDLES)
    for window in WINDOWS:
        features = features_table(CANDLES, NO_TABLE, {}, window)
        own = own_values(strategy, by_market, usable_markets(features), window)
        tables.append(run_strategy(strategy, features, failures.append, own=own).assign(window_end_ms=window.end_ms))
    return pd.concat(tables).sort_values(["exchange", "symbol", "window_end_ms"], ignore_index=True)


@pytest.mark.parametrize("strategy", [Recursive(), NeedsFewBars()], ids=["indicators", "raises in some windows"])
def test_replay_of_own_indicators_equals_the_windows_one_by_one(strategy: Own) -> None:
    failures: list[str] = []
    expected = one_by_one(strategy, failures)
    replayed: list[str] = []
    found = replay(CANDLES, {}, WINDOWS, [strategy], on_failure=replayed.append)[strategy.key]
    pd.testing.assert_frame_equal(found[expected.columns], expected, rtol=1e-9, atol=1e-9)
    assert sorted(replayed) == sorted(failures)
    assert bool(failures) == isinstance(strategy, NeedsFewBars)
    assert (found["action"] == "LONG").any()
