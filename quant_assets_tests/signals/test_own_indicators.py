"""Indicators of a strategy's own: what they get, what they may return, and what a fault of theirs costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

from quant_assets.common.timeframes import HTF, LTF, STEP_MS
from quant_assets.common.windows import Window
from quant_assets.signals import (
    Features,
    Indicator,
    IndicatorsError,
    MarketCandles,
    Strategy,
    Verdict,
    analyse,
    build_watchlist,
    candle_features_table,
    features_table,
    own_series,
    own_values,
    run_strategy,
    usable_markets,
    valid_setup,
)
from quant_assets_tests.signals.factories import NO_TABLE, WINDOW, random_candles

Bars = Mapping[str, pd.DataFrame]
BARS = random_candles(4)
MARKETS = [("MEXC", f"M00{number}USDT") for number in range(4)]
CANDLES = MarketCandles(BARS)


@dataclass(frozen=True)
class Own(Strategy):
    """A strategy that scores by its own indicator `fast`, whose function a test gives."""

    name = "Own"
    key = "own"
    description = "for tests"
    strategy_type = "test"
    parts = ("fast",)
    own_indicators: ClassVar = {"fast": Indicator("Mean of three closes.", chart="Means")}

    compute: Callable[[Bars], Any] = field(default=lambda bars: {LTF: {"fast": bars[LTF]["close"].rolling(3).mean()}})
    seen: list[Features] = field(default_factory=list, compare=False)

    def indicators(self, bars: Bars) -> Any:
        return self.compute(bars)

    def judge(self, features: Features) -> Verdict:
        self.seen.append(features)
        known = features.own["fast"]
        setup = None if known is None else valid_setup("LONG", features.price, features.price * 0.9, features.price * 2)
        return Verdict.of("LONG", {"fast": known or 0.0}, "" if setup else "unknown", setup)


@cache
def features_at(window: Window) -> pd.DataFrame:
    return features_table(BARS, NO_TABLE, {}, window)


def table_of(strategy: Strategy, failures: list[str] | None = None, window: Window = WINDOW) -> pd.DataFrame:
    features = features_at(window)
    own = own_values(strategy, CANDLES, usable_markets(features), window)
    return run_strategy(strategy, features, None if failures is None else failures.append, own=own)


def only_on(symbol_close: float, returned: Callable[[Bars], Any]) -> Callable[[Bars], Any]:
    """Return a function that returns something else on the market with this first close."""

    def compute(bars: Bars) -> Any:
        if bars[LTF]["close"].iloc[0] == symbol_close:
            return returned(bars)
        return {LTF: {"fast": bars[LTF]["close"].rolling(3).mean()}}

    return compute


def first_close(number: int) -> float:
    return float(CANDLES.closed_bars(MARKETS[number], WINDOW.end_ms, 500)[LTF]["close"].iloc[0])


def test_strategy_gets_the_closed_bars_of_one_market_with_openings_in_utc() -> None:
    seen: list[Bars] = []

    def remember(bars: Bars) -> Any:
        seen.append(bars)
        return {}

    table_of(Own(remember), [])
    bars = seen[0]
    assert list(bars) == [LTF, HTF]
    for timeframe, frame in bars.items():
        expected = BARS[(BARS["symbol"] == "M000USDT") & (BARS["timeframe"] == timeframe)]
        assert list(frame.columns) == ["open", "high", "low", "close", "volume"]
        assert str(pd.DatetimeIndex(frame.index).tz) == "UTC"
        closed = expected[expected["time_ms"] <= WINDOW.end_ms - STEP_MS[timeframe]]
        assert pd.DatetimeIndex(frame.index).as_unit("ms").asi8.tolist() == closed["time_ms"].tolist()
        assert frame["close"].tolist() == closed["close"].tolist()


@pytest.mark.parametrize("minutes_ago", [0, 15, 60, 240, 1440])
def test_no_bar_that_closes_after_the_window_is_passed(minutes_ago: int) -> None:
    window = Window(WINDOW.end - pd.Timedelta(minutes=minutes_ago).to_pytimedelta())
    for timeframe, frame in CANDLES.closed_bars(MARKETS[0], window.end_ms, 1500).items():
        closes = pd.DatetimeIndex(frame.index).as_unit("ms").asi8 + STEP_MS[timeframe]
        assert window.end_ms - STEP_MS[timeframe] < closes[-1] <= window.end_ms


def test_look_back_limits_the_bars() -> None:
    @dataclass(frozen=True)
    class Short(Own):
        look_back = 60

    lengths: list[int] = []

    def measure(bars: Bars) -> Any:
        lengths.extend(map(len, bars.values()))
        return {}

    table_of(Short(measure), [])
    assert set(lengths) == {60}


def test_judge_reads_the_value_of_the_last_closed_bar_of_its_timeframe() -> None:
    strategy = Own(lambda bars: {LTF: {"fast": bars[LTF]["close"] * 2}, HTF: {"slow": bars[HTF]["close"] * 3}})
    table_of(strategy)
    for market, features in zip(MARKETS, strategy.seen, strict=True):
        bars = CANDLES.closed_bars(market, WINDOW.end_ms, 1)
        assert features.own == {"fast": bars[LTF]["close"].item() * 2, "slow": bars[HTF]["close"].item() * 3}


@pytest.mark.parametrize("unknown", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_unknown(unknown: float) -> None:
    strategy = Own(lambda bars: {LTF: {"fast": bars[LTF]["close"] * unknown}})
    table = table_of(strategy)
    assert [features.own["fast"] for features in strategy.seen] == [None] * 4
    assert table["own_fast"].isna().all()


def test_none_in_place_of_a_series_is_unknown() -> None:
    table = table_of(Own(lambda bars: {LTF: {"fast": None}}))
    assert table["own_fast"].isna().all()


def test_signal_table_has_a_column_for_each_indicator() -> None:
    table = table_of(Own(lambda bars: {LTF: {"fast": bars[LTF]["close"], "is_up": bars[LTF]["close"] > 0}}))
    assert [name for name in table.columns if name.startswith("own_")] == ["own_fast", "own_is_up"]
    assert table["own_is_up"].tolist() == [1.0] * 4


def test_table_of_a_strategy_without_indicators_has_no_such_columns() -> None:
    features = features_at(WINDOW)

    @dataclass(frozen=True)
    class Plain(Own):
        indicators = Strategy.indicators

        def judge(self, features: Features) -> Verdict:
            assert features.own == {}
            return Verdict.of("NONE", {"fast": 0.0}, "waits", None)

    assert not any(name.startswith("own_") for name in run_strategy(Plain(), features).columns)


@pytest.mark.parametrize(
    ("returned", "problem"),
    [
        (lambda bars: None, "returned NoneType"),
        (lambda bars: {"1h": {}}, "'1h': expected the timeframes 15m, 4h"),
        (lambda bars: {LTF: bars[LTF]["close"].to_numpy()}, "not series by name"),
        (lambda bars: {LTF: {"fast": bars[LTF]["close"].to_numpy()}}, "fast (15m) is ndarray, not a series"),
        (lambda bars: {LTF: {"fast": bars[LTF]["close"].iloc[1:]}}, "fast (15m) has 399 values for 400 bars"),
        (lambda bars: {LTF: {"fast": bars[HTF]["close"]}}, "fast (15m) has 300 values for 400 bars"),
        (lambda bars: {LTF: {"fast": bars[LTF]["close"].reset_index(drop=True)}}, "fast (15m) has another index"),
        (lambda bars: {LTF: {"fast": bars[LTF]["close"].iloc[::-1]}}, "fast (15m) has another index"),
        (lambda bars: {LTF: {"fast": bars[LTF]["close"].astype(str) + "x"}}, "fast (15m) has values of the type"),
        (lambda bars: {LTF: {"Fast!": bars[LTF]["close"]}}, "invalid name 'Fast!'"),
        (lambda bars: {tf: {"fast": bars[tf]["close"]} for tf in bars}, "the indicator fast has two timeframes"),
    ],
)
def test_anything_but_series_on_exactly_the_index_is_refused(returned: Any, problem: str) -> None:
    with pytest.raises(IndicatorsError, match=r"^Own: ") as error:
        own_series(Own(returned), CANDLES.closed_bars(MARKETS[0], WINDOW.end_ms, 500))
    assert problem in str(error.value)


def test_strategy_cannot_damage_the_bars_of_others() -> None:
    def damage(bars: Bars) -> Any:
        for frame in bars.values():
            frame["close"] = 0.0
            frame.loc[:, "open"] = 0.0
        return {LTF: {"fast": bars[LTF]["close"]}}

    before = BARS.copy(deep=True)
    table_of(Own(damage))
    pd.testing.assert_frame_equal(BARS, before)
    bars = CANDLES.closed_bars(MARKETS[0], WINDOW.end_ms, 500)
    own_series(Own(damage), bars)
    assert bars[LTF]["close"].min() > 0


@pytest.mark.parametrize(
    "returned", [lambda bars: 1 / 0, lambda bars: {LTF: {"fast": bars[LTF]["close"].iloc[1:]}}, lambda bars: bars["1h"]]
)
def test_failure_on_one_market_costs_that_market_alone(returned: Any) -> None:
    failures: list[str] = []
    table = table_of(Own(only_on(first_close(2), returned)), failures)
    assert table["action"].tolist() == ["LONG", "LONG", "WAIT", "LONG"]
    assert table["reason"].tolist() == ["", "", "strategy_failed", ""]
    assert np.isnan(table["own_fast"]).tolist() == [False, False, True, False]
    (failure,) = failures
    assert failure.startswith("Own failed on MEXC M002USDT: indicators: ")


def test_markets_left_at_the_time_limit_wait_and_one_message_says_so() -> None:
    @dataclass(frozen=True)
    class Slow(Own):
        max_indicator_seconds = 0.0

    failures: list[str] = []
    table = table_of(Slow(), failures)
    assert table["reason"].tolist() == ["strategy_failed"] * 4
    assert failures == ["Own: indicators exceeded the limit of 0 s (max_indicator_seconds): 4 markets wait"]


def test_without_a_failure_callback_the_failure_is_raised() -> None:
    with pytest.raises(ValueError, match="Own failed on MEXC M000USDT: indicators: ZeroDivisionError"):
        table_of(Own(lambda bars: 1 / 0))


def test_analyse_and_a_scan_give_the_same_verdict() -> None:
    table = table_of(Own())
    market = BARS[(BARS["symbol"] == "M001USDT")]
    ltf, htf = (market[market["timeframe"] == timeframe] for timeframe in (LTF, HTF))
    (signal,) = analyse(ltf, htf, WINDOW, strategies=[Own()], exchange="MEXC", symbol="M001USDT")
    assert signal.verdict.score == table["score"].iloc[1]
    assert signal.features.own == {"fast": table["own_fast"].iloc[1]}


def test_watchlist_ranks_by_setups_of_strategies_with_own_indicators() -> None:
    strategy = Own(only_on(first_close(3), lambda bars: {LTF: {"fast": None}}))
    watchlist = build_watchlist(candle_features_table(BARS, WINDOW), WINDOW, [strategy], CANDLES)
    assert watchlist["setup"].tolist() == [True, True, True, False]
