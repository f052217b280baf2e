"""Selection of the closed bars that signals use."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from quant_assets.common.timeframes import HTF
from quant_assets.common.windows import Window
from quant_assets.signals.features.bars import MAX_BARS, market_bars
from quant_assets_tests.signals.factories import WINDOW, bars, candles, market, walk


def test_bar_that_closes_at_the_window_end_is_used() -> None:
    (found,) = market_bars(candles(market([1, 2, 3], [4, 5])), WINDOW)
    assert found.ltf.close.tolist() == [1, 2, 3]
    assert found.htf.close.tolist() == [4, 5]


def test_bar_open_at_the_window_end_is_ignored() -> None:
    earlier = Window(WINDOW.end - timedelta(minutes=15))
    (found,) = market_bars(candles(market([1, 2, 3], [4, 5])), earlier)
    assert found.ltf.close.tolist() == [1, 2]
    assert found.htf.close.tolist() == [4, 5], "the last 4h bar closed at 16:00"


def test_only_the_newest_1500_bars_are_used() -> None:
    (found,) = market_bars(candles(market(np.arange(1.0, 1602.0), [4])), WINDOW)
    assert len(found.ltf) == MAX_BARS
    assert found.ltf.close[[0, -1]].tolist() == [102, 1601]


def test_market_without_a_closed_bar_is_left_out() -> None:
    long_ago = Window(WINDOW.end - timedelta(days=30))
    assert market_bars(candles(market([1, 2], [3])), long_ago) == []


def test_market_with_only_one_timeframe_is_kept() -> None:
    (found,) = market_bars(candles(market([], [4, 5])), WINDOW)
    assert len(found.ltf) == 0
    assert len(found.htf) == 2


def test_markets_are_sorted_whatever_the_order_of_the_categories() -> None:
    table = pd.concat(
        [candles(market([1], [2])).assign(symbol=symbol) for symbol in ("ZECUSDT", "AAVEUSDT", "kPEPEUSDT")]
    )
    table["symbol"] = pd.Categorical(table["symbol"], ["ZECUSDT", "AAVEUSDT", "kPEPEUSDT"])
    assert [found.symbol for found in market_bars(table, WINDOW)] == ["AAVEUSDT", "ZECUSDT", "kPEPEUSDT"]


def test_other_timeframes_are_ignored() -> None:
    table = candles(market([1, 2], [3]))
    table["timeframe"] = table["timeframe"].cat.rename_categories({HTF: "1d"})
    (found,) = market_bars(table, WINDOW)
    assert (len(found.ltf), len(found.htf)) == (2, 0)


def test_bars_out_of_order_are_refused() -> None:
    table = candles(market(walk(1, 60), [3]))
    with pytest.raises(ValueError, match="sorted"):
        market_bars(table.iloc[::-1], WINDOW)


def test_duplicate_bar_is_refused() -> None:
    table = candles(market([1, 2, 3], [3]))
    with pytest.raises(ValueError, match="contains a time twice"):
        market_bars(pd.concat([table.iloc[:1], table]), WINDOW)


def test_market_in_two_pieces_is_refused() -> None:
    one, other = candles(market([1, 2], [3])), candles(market([1], [3])).assign(symbol="ETHUSDT")
    with pytest.raises(ValueError, match="not together"):
        market_bars(pd.concat([one.iloc[:1], other, one.iloc[1:]]), WINDOW)


def test_empty_table_has_no_markets() -> None:
    assert market_bars(pd.DataFrame(), WINDOW) == []


def test_arrays_are_contiguous() -> None:
    (found,) = market_bars(candles(market(walk(1, 60), bars(np.ones(60), HTF))), WINDOW)
    assert all(part.flags.c_contiguous for part in (found.ltf.high, found.ltf.close, found.htf.volume))
