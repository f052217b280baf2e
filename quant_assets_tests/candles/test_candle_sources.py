"""Files and exchanges give one candle table, in which a market that both have is there once."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_assets.candles.candle_sources import SERIES_DTYPES, JoinedCandles, join_sources
from quant_assets.common.timeframes import STEP_MS
from quant_assets.markets import ResolutionRules, market_key
from quant_assets_tests.candles.stored_bars import START_MS, VALUES, values_of

KEYS = ["exchange", "symbol", "timeframe"]
#: (exchange, symbol, timeframe) → number of bars
Series = dict[tuple[str, str, str], int]


def candles(series: Series, number: int = 0) -> pd.DataFrame:
    """Return a candle table; `number` tells the bars of one source from those of another."""
    data = [
        (*key, START_MS - place * STEP_MS[key[2]], *values_of(number))
        for key, count in sorted(series.items())
        for place in range(count - 1, -1, -1)
    ]
    table = pd.DataFrame(data, columns=[*KEYS, "time_ms", *VALUES])
    return table.astype({**dict.fromkeys(KEYS, "str"), **dict.fromkeys(VALUES, "float64"), "time_ms": "int64"}).astype(
        dict.fromkeys(KEYS, "category")
    )


def join(files: Series, *stored: Series, max_bars: int = 1500) -> JoinedCandles:
    """Join files, whose bars are of number 1, with stored series, whose bars are of number 2."""
    found = join_sources(candles(files, 1), [candles(one, 2) for one in stored], max_bars=max_bars)
    assert found.series.dtypes.astype("str").to_dict() == SERIES_DTYPES
    return found


def served(found: JoinedCandles) -> dict[tuple[str, str, str], tuple[str, int]]:
    """Return each series of the bars → its source, by its values, and its number of bars."""
    sources = {values_of(1)[0]: "file", values_of(2)[0]: "exchange"}
    groups = found.bars.groupby(KEYS, observed=True)["open"]
    return {key: (sources[opens.iloc[0]], len(opens)) for key, opens in groups if opens.nunique() == 1}


@pytest.mark.parametrize(
    ("file", "stored"),
    [
        (("HYPERLIQUID", "BTCUSDT"), ("HYPERLIQUID", "BTC")),
        (("HYPERLIQUID", "kPEPEUSDT"), ("HYPERLIQUID", "kPEPE")),
        (("HYPERLIQUID", "1000PEPEUSDT"), ("HYPERLIQUID", "kPEPE")),
        (("MEXC", "BTCUSDT"), ("MEXC", "BTC_USDT")),
        (("KUCOIN", "BTCUSDT"), ("KUCOIN", "XBTUSDTM")),
        (("OKX", "BTCUSDT"), ("OKX", "BTC-USDT-SWAP")),
        (("OKEX", "BTC-USDT"), ("OKX", "BTC-USDT-SWAP")),
        (("GATEIO", "BTCUSDT"), ("GATE", "BTC_USDT")),
        (("BINANCE", "1000PEPEUSDT"), ("BINANCE", "1000PEPEUSDT")),
    ],
)
def test_one_market_under_two_names_is_served_by_the_exchange_as_the_file(
    file: tuple[str, str], stored: tuple[str, str]
) -> None:
    found = join({(*file, "15m"): 5}, {(*stored, "15m"): 7})
    assert served(found) == {(*file, "15m"): ("exchange", 7)}
    row = found.series.iloc[0]
    assert (row.source, row.stored_exchange, row.stored_symbol) == ("exchange", *stored)
    assert (row.bars, row.file_bars) == (7, 5)


@pytest.mark.parametrize(
    ("file", "stored"),
    [
        (("HYPERLIQUID", "BTCUSDC"), ("HYPERLIQUID", "BTC")),
        (("HYPERLIQUID", "PEPEUSDT"), ("HYPERLIQUID", "kPEPE")),
        (("BYBIT", "BTCUSDT"), ("BYBIT", "BTCUSDC")),
        (("BYBIT", "BTCUSDT"), ("BINANCE", "BTCUSDT")),
        (("BINANCE", "PEPEUSDT"), ("BINANCE", "1000PEPEUSDT")),
        (("BYBIT", "BTC"), ("BYBIT", "BTCUSDT")),
    ],
)
def test_other_exchange_asset_quote_or_multiplier_is_another_market(
    file: tuple[str, str], stored: tuple[str, str]
) -> None:
    found = join({(*file, "15m"): 5}, {(*stored, "15m"): 7})
    assert served(found) == {(*file, "15m"): ("file", 5), (*stored, "15m"): ("exchange", 7)}


def test_symbol_is_the_exchanges_own_where_there_is_no_file() -> None:
    found = join({}, {("MEXC", "BTC_USDT", "15m"): 3, ("MEXC", "BTC_USDT", "4h"): 2})
    assert served(found) == {("MEXC", "BTC_USDT", "15m"): ("exchange", 3), ("MEXC", "BTC_USDT", "4h"): ("exchange", 2)}
    assert found.series["file_bars"].tolist() == [0, 0]


def test_timeframe_that_the_exchange_does_not_have_yet_stays_the_files() -> None:
    found = join({("MEXC", "BTCUSDT", "15m"): 5, ("MEXC", "BTCUSDT", "4h"): 6}, {("MEXC", "BTC_USDT", "15m"): 7})
    assert served(found) == {("MEXC", "BTCUSDT", "15m"): ("exchange", 7), ("MEXC", "BTCUSDT", "4h"): ("file", 6)}


def test_new_timeframe_of_a_market_with_a_file_has_the_files_symbol() -> None:
    found = join({("MEXC", "BTCUSDT", "15m"): 5}, {("MEXC", "BTC_USDT", "15m"): 7}, {("MEXC", "BTC_USDT", "4h"): 8})
    assert served(found) == {("MEXC", "BTCUSDT", "15m"): ("exchange", 7), ("MEXC", "BTCUSDT", "4h"): ("exchange", 8)}


def test_two_names_of_one_source_are_joined_only_where_both_write_them_alike() -> None:
    files: Series = {("MEXC", "BTCUSDT", "15m"): 5, ("MEXC", "BTC-USDT", "15m"): 5}
    assert served(join(files, {("MEXC", "BTC_USDT", "15m"): 7})) == {
        ("MEXC", "BTCUSDT", "15m"): ("file", 5),
        ("MEXC", "BTC-USDT", "15m"): ("file", 5),
        ("MEXC", "BTC_USDT", "15m"): ("exchange", 7),
    }
    assert served(join(files, {("MEXC", "BTCUSDT", "15m"): 7})) == {
        ("MEXC", "BTCUSDT", "15m"): ("exchange", 7),
        ("MEXC", "BTC-USDT", "15m"): ("file", 5),
    }


def test_newest_bars_of_both_sources_are_kept() -> None:
    found = join({("OKX", "A", "15m"): 20}, {("MEXC", "B", "15m"): 30}, max_bars=10)
    assert served(found) == {("OKX", "A", "15m"): ("file", 10), ("MEXC", "B", "15m"): ("exchange", 10)}
    assert found.bars["time_ms"].max() == START_MS
    assert found.series["first_ms"].tolist() == [START_MS - 9 * STEP_MS["15m"]] * 2
    assert found.series["last_ms"].tolist() == [START_MS] * 2


def test_file_that_is_longer_within_the_newest_bars_is_told_of() -> None:
    files: Series = {("MEXC", "AUSDT", "15m"): 50, ("MEXC", "BUSDT", "15m"): 50, ("MEXC", "CUSDT", "15m"): 8}
    stored: Series = {("MEXC", "A_USDT", "15m"): 9, ("MEXC", "B_USDT", "15m"): 40, ("MEXC", "C_USDT", "15m"): 9}
    longer = join(files, stored, max_bars=10).longer_files
    assert longer[["exchange", "symbol", "timeframe", "file_bars", "bars"]].values.tolist() == [
        ["MEXC", "AUSDT", "15m", 10, 9]
    ]


def test_users_aliases_decide_which_markets_are_one() -> None:
    files, stored = candles({("MEXC", "LUNCUSDT", "15m"): 5}, 1), candles({("MEXC", "LUNA1_USDT", "15m"): 7}, 2)
    rules = ResolutionRules(aliases={"LUNA1": "LUNC"})
    assert len(join_sources(files, [stored]).series) == 2
    assert len(join_sources(files, [stored], rules).series) == 1


def test_one_source_alone_is_returned_as_it_is() -> None:
    table = candles({("OKX", "A", "15m"): 20, ("MEXC", "B", "4h"): 3, ("MEXC", "B", "15m"): 4}, 1)
    pd.testing.assert_frame_equal(join_sources(table, []).bars, table)
    pd.testing.assert_frame_equal(join_sources(None, [table]).bars, table)
    assert join_sources(None, [table]).series["source"].unique().tolist() == ["exchange"]


def test_nothing_joined_with_nothing_is_an_empty_table() -> None:
    found = join({}, {})
    assert (len(found.bars), len(found.series), len(found.longer_files)) == (0, 0, 0)
    assert list(found.bars) == list(candles({}))
    assert len(join_sources(None, []).bars) == 0


SYMBOLS = st.sampled_from(["BTC", "BTCUSDT", "BTC_USDT", "kPEPE", "kPEPEUSDT", "ETH-USDT", "X"])
NAMES = st.tuples(st.sampled_from(["HYPERLIQUID", "MEXC"]), SYMBOLS, st.sampled_from(["15m", "4h"]))
SOURCES = st.dictionaries(NAMES, st.integers(1, 4), max_size=8)


@settings(max_examples=60)
@given(SOURCES, SOURCES)
def test_joined_table_is_sorted_and_names_every_file_and_every_series_once(files: Series, stored: Series) -> None:
    found = join(files, stored)
    series = served(found)
    rows = list(zip(*(found.bars[name].astype("str") for name in KEYS), found.bars["time_ms"], strict=True))
    assert rows == sorted(set(rows))
    assert list(map(tuple, found.series[KEYS].values.tolist())) == sorted(series)
    assert [source for source, _ in map(series.get, sorted(series))] == found.series["source"].tolist()
    assert files.keys() <= series.keys()
    from_store = found.series[found.series["source"] == "exchange"]
    names = list(zip(from_store["stored_exchange"], from_store["stored_symbol"], from_store["timeframe"], strict=True))
    assert sorted(names) == sorted(stored)
    rules = ResolutionRules()
    for row in from_store.itertuples():
        key = market_key(row.exchange, row.symbol, rules)
        assert key == market_key(row.stored_exchange, row.stored_symbol, rules)
