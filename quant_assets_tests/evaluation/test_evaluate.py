"""An evaluation: which windows it replays, and that its trades are those of the setups followed one by one."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quant_assets.common.windows import Window
from quant_assets.evaluation import (
    Costs,
    Evaluation,
    NothingToEvaluate,
    Prices,
    evaluate,
    full_range,
    price_bars,
)
from quant_assets.markets.rules import ResolutionRules
from quant_assets.signals import analyse, discover_strategies, with_values
from quant_assets_tests.evaluation.markets import Bar
from quant_assets_tests.evaluation.one_trade import BAR, follow_one
from quant_assets_tests.signals.factories import WINDOW, random_candles

#: A lower threshold than the default gives more setups.
STRATEGIES = with_values(discover_strategies().strategies, {"legacy": {"threshold": 60.0}}, Path("test"))
FIRST = Window(WINDOW.end - timedelta(hours=60))
LAST = Window(WINDOW.end - timedelta(hours=5))


@pytest.fixture(scope="module")
def candles() -> pd.DataFrame:
    return random_candles(6, ltf_bars=310, htf_bars=220)


@pytest.fixture(scope="module")
def found(candles: pd.DataFrame) -> Evaluation:
    return evaluated(candles, FIRST)


def evaluated(candles: pd.DataFrame, first: Window, last: Window = LAST) -> Evaluation:
    prices = Prices(price_bars(candles), costs=Costs(fee_pct=0.0, slippage_pct=0.0))
    return evaluate(candles, prices, STRATEGIES, first, last, ResolutionRules())


def trade_columns(found: Evaluation) -> pd.DataFrame:
    return found.trades.drop(columns="chance_r")


def test_trades_are_those_of_each_window_followed_bar_by_bar(candles: pd.DataFrame, found: Evaluation) -> None:
    expected = []
    followed = ["M001USDT", "M002USDT"]
    for symbol in followed:
        rows = candles[candles["symbol"] == symbol]
        ltf, htf = (rows[rows["timeframe"] == timeframe] for timeframe in ("15m", "4h"))
        bars = [Bar(*row) for row in ltf[["time_ms", "open", "high", "low", "close"]].itertuples(index=False)]
        free = dict.fromkeys((strategy.name for strategy in STRATEGIES), 0)
        before: dict[str, str] = {}
        for end_ms in range(bars[0].time + BAR, LAST.end_ms + 1, BAR):
            window = Window.last_complete(pd.Timestamp(end_ms, unit="ms", tz="UTC").to_pydatetime())
            for signal in analyse(ltf, htf, window, strategies=STRATEGIES):
                name, setup = signal.strategy.name, signal.verdict.setup
                side = setup.side if setup else ""
                begins, before[name] = bool(side) and before.get(name) != side, side
                if not begins or setup is None or end_ms < free[name]:
                    continue
                d, limit_ms = (1 if side == "LONG" else -1), signal.strategy.max_holding_minutes * 60_000
                one = follow_one(bars, end_ms, d, setup.sl, setup.tp, limit_ms, 0.5, bars[-1].time + BAR)
                free[name] = 2**62 if one.outcome in {"open", "pending"} else one.exit_ms
                if end_ms >= FIRST.end_ms:
                    expected.append((name, symbol, end_ms, side, one.outcome, one.exit_ms))
    rows = found.trades[found.trades["symbol"].isin(followed)]
    trades = rows[["strategy", "symbol", "entry_ms", "side", "outcome", "exit_ms"]]
    assert sorted(trades.itertuples(index=False, name=None)) == sorted(expected)
    assert {"target", "stop", "open"} <= set(found.trades["outcome"])


def test_range_is_a_part_of_one_sequence_of_trades(candles: pd.DataFrame, found: Evaluation) -> None:
    later = Window(FIRST.end + timedelta(hours=4))
    whole = trade_columns(found)
    pd.testing.assert_frame_equal(
        trade_columns(evaluated(candles, later)),
        whole[whole["entry_ms"] >= later.end_ms].reset_index(drop=True),
    )


def test_bars_after_the_range_change_exits_but_no_entry(candles: pd.DataFrame, found: Evaluation) -> None:
    end_ms = LAST.end_ms + 4 * BAR
    closes = candles["time_ms"] + candles["timeframe"].map({"15m": BAR, "4h": 16 * BAR}).astype("int64")
    cut = evaluated(candles[closes <= end_ms].reset_index(drop=True), FIRST)
    columns = ["strategy", "symbol", "entry_ms", "side", "score", "stop", "target", "entry"]
    both = found.trades.merge(cut.trades, on=["strategy", "symbol", "entry_ms"], suffixes=("", "_cut"))
    assert len(both) == len(cut.trades)
    pd.testing.assert_frame_equal(both[columns], cut.trades[columns])


def test_record_counts_mature_trades_alone(found: Evaluation) -> None:
    legacy = found.trades[found.trades["strategy"] == "Legacy"]
    record = found.records["Legacy"]
    ended = legacy["outcome"].isin(["target", "stop", "expired"])
    assert 0 < record["n"] == int((ended & legacy["mature"]).sum()) < int(ended.sum())
    assert record["mean_r"] == pytest.approx(legacy.loc[ended & legacy["mature"], "net_r"].mean())
    assert (record["too_few"], sum(record["outcomes"].values())) == (True, len(legacy))


def test_strategy_without_a_mature_trade_has_no_numbers(candles: pd.DataFrame) -> None:
    record = evaluated(candles, Window(LAST.end - timedelta(hours=9))).records["Legacy"]
    assert (record["n"], record["too_few"], record["mean_r"], record["quartiles"]) == (0, True, None, [])


def test_default_range_begins_when_the_first_market_is_warm(candles: pd.DataFrame) -> None:
    first, last = full_range(candles)
    ltf = candles[candles["timeframe"] == "15m"]
    assert first.end_ms == ltf["time_ms"].min() + 50 * BAR  # 200 bars of 4h closed before
    assert last == WINDOW
    no_htf = random_candles(1, ltf_bars=520, htf_bars=100)
    assert full_range(no_htf)[0].end_ms == no_htf.loc[no_htf["timeframe"] == "15m", "time_ms"].iloc[499] + BAR


def test_candles_that_are_too_short_name_the_remedy() -> None:
    with pytest.raises(NothingToEvaluate, match=r"200 closed bars of 4h or 500 of 15m; .* --from and --to"):
        full_range(random_candles(1, ltf_bars=60, htf_bars=60))


def test_range_without_bars_is_refused(candles: pd.DataFrame) -> None:
    year_before = [Window(window.end - timedelta(days=365)) for window in (FIRST, LAST)]
    with pytest.raises(NothingToEvaluate, match="no 15m bar closed between 2025-01-17"):
        evaluated(candles, *year_before)


def test_records_hold_plain_numbers(found: Evaluation) -> None:
    def plain(value: Any) -> bool:
        if isinstance(value, dict):
            return all(map(plain, value.values()))
        return all(map(plain, value)) if isinstance(value, list) else not isinstance(value, np.generic)

    assert plain(found.records)
