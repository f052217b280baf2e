"""4h bars are made of sixteen 15m bars, exactly, and only for series whose own bars are the same."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from itertools import groupby

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_assets.candles.made_bars import MIN_COMPARED, compare_made_bars, make_4h_bars, sum_exactly
from quant_assets.common.timeframes import STEP_MS
from quant_assets_tests.candles.stored_bars import EXCHANGE, START_MS, VALUES, Row, table_of, values_of

QUARTER, HOURS = STEP_MS["15m"], STEP_MS["4h"]


def candles(rows: list[Row], timeframe: str = "15m") -> pd.DataFrame:
    """Return rows as a candle table, sorted."""
    table = table_of(sorted(rows), timeframe).assign(exchange=EXCHANGE, timeframe=timeframe)
    columns = ["exchange", "symbol", "timeframe", "time_ms", *VALUES]
    return table[columns].astype(dict.fromkeys(columns[:3], "category"))


def series(count: int, symbol: str = "A", first: int = 0) -> list[Row]:
    return [(symbol, place, place * 7 % 11) for place in range(first, first + count)]


def test_bar_is_made_of_its_sixteen_quarters() -> None:
    made = make_4h_bars(candles(series(16)))
    parts = [values_of(place * 7 % 11) for place in range(16)]
    assert made.iloc[0].to_dict() == {
        "exchange": EXCHANGE,
        "symbol": "A",
        "timeframe": "4h",
        "time_ms": START_MS,
        "open": parts[0][0],
        "high": max(part[1] for part in parts),
        "low": min(part[2] for part in parts),
        "close": parts[-1][3],
        "volume": float(sum(Decimal(str(part[4])) for part in parts)),
    }
    assert len(made) == 1
    assert list(made) == list(candles([]))


@pytest.mark.parametrize("missing", [0, 7, 15])
def test_no_bar_is_made_where_a_quarter_is_missing(missing: int) -> None:
    rows = [row for row in series(48) if row[1] != 16 + missing]
    assert make_4h_bars(candles(rows))["time_ms"].tolist() == [START_MS, START_MS + 2 * HOURS]


def test_bars_are_made_on_the_grid_of_utc_alone() -> None:
    assert make_4h_bars(candles(series(30, first=8)))["time_ms"].tolist() == [START_MS + HOURS]


def test_quarters_of_two_symbols_make_no_bar_together() -> None:
    assert len(make_4h_bars(candles([*series(8, "A"), *series(8, "B", 8)]))) == 0


@settings(max_examples=50)
@given(st.sets(st.tuples(st.sampled_from("AB"), st.integers(0, 63)), max_size=120))
def test_made_bars_equal_those_of_a_plain_loop(places: set[tuple[str, int]]) -> None:
    rows = [(symbol, place, place * 7 % 11) for symbol, place in places]
    expected = []
    for (symbol, hours), found in groupby(sorted(rows), key=lambda row: (row[0], row[1] // 16)):
        parts = [values_of(number) for _, _, number in found]
        if len(parts) == 16:
            highs, lows = max(part[1] for part in parts), min(part[2] for part in parts)
            volume = float(sum(Decimal(str(part[4])) for part in parts))
            expected.append((symbol, START_MS + hours * HOURS, parts[0][0], highs, lows, parts[-1][3], volume))
    made = make_4h_bars(candles(rows))
    assert list(made[["symbol", "time_ms", *VALUES]].itertuples(index=False, name=None)) == expected


@given(st.lists(st.decimals(0, 10**12, places=8, allow_nan=False), min_size=1, max_size=16))
def test_sum_of_volumes_is_the_double_nearest_to_the_sum_of_decimals(volumes: list[Decimal]) -> None:
    shortest = [Decimal(repr(float(volume))) for volume in volumes]
    exact = sum((Fraction(volume) for volume in shortest), Fraction(0))
    assert sum_exactly(map(float, volumes)) == exact.numerator / exact.denominator


def test_sum_is_that_of_the_decimals_and_not_of_the_doubles() -> None:
    assert sum_exactly([0.1, 0.2]) == 0.3
    assert sum_exactly([0.1] * 16) == 1.6
    assert sum_exactly([1e18, 1e-16, -1e18]) == 1e-16


def own(count: int) -> pd.DataFrame:
    """Return an exchange's own 4h bars that agree with the quarters."""
    return make_4h_bars(candles(series(16 * count)))


def test_bars_may_be_made_where_a_day_of_own_bars_is_the_same() -> None:
    found = compare_made_bars(own(MIN_COMPARED), own(MIN_COMPARED + 3))
    assert found.to_dict("records") == [
        {"exchange": EXCHANGE, "symbol": "A", "compared": MIN_COMPARED, "different": 0, "can_be_made": True}
    ]


def test_too_few_own_bars_allow_nothing() -> None:
    assert compare_made_bars(own(10), own(MIN_COMPARED - 1))["can_be_made"].tolist() == [False]


@pytest.mark.parametrize("field", VALUES)
def test_the_last_bit_of_any_field_forbids_making_bars(field: str) -> None:
    exchange = own(MIN_COMPARED)
    exchange.loc[2, field] *= 1 + 2**-52
    found = compare_made_bars(own(MIN_COMPARED), exchange)
    assert found[["compared", "different", "can_be_made"]].values.tolist() == [[MIN_COMPARED, 1, False]]


def test_nothing_in_common_compares_nothing() -> None:
    assert len(compare_made_bars(own(3), own(3).assign(symbol="B"))) == 0
    assert len(compare_made_bars(own(0), own(0))) == 0
