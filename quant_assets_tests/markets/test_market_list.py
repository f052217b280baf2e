"""Test the market list table, and which lists are refused."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

import pytest

from quant_assets.markets import MarketListRefused, market_list_table, refuse_shrunken_list
from quant_assets_tests.markets.sample_list import EXCHANGES, NOW, ROWS, row


def test_rows_are_joined_with_exchange_names_and_sorted_by_symbol_bytes() -> None:
    found = market_list_table(EXCHANGES, ROWS, NOW)
    assert found["symbol"].tolist() == sorted((r["symbol"] for r in ROWS), key=lambda symbol: symbol.encode())
    assert found.set_index("symbol")["exchange_name"]["PUMP_USDT.Y"] == "Gate.io"
    assert set(found["fetched_at_ms"]) == {NOW.timestamp() * 1000}
    assert found.attrs["dropped_rows"] == 0


def test_empty_list_has_the_same_column_types() -> None:
    kinds = {name: str(kind) for name, kind in market_list_table(EXCHANGES, ROWS, NOW).dtypes.items()}
    assert kinds == {name: str(kind) for name, kind in market_list_table([], [], NOW).dtypes.items()}
    assert (kinds["symbol"], kinds["is_perpetual"], kinds["expire_at_ms"]) == ("str", "bool", "float64")
    assert kinds["fetched_at_ms"] == "int64"


@pytest.mark.parametrize(
    "broken",
    [
        {},
        row("X.A", "X", "", "USDT"),
        row("X.A", "X", None, "USDT"),  # type: ignore[arg-type]
        {**row("X.A", "X", "X", "USDT"), "symbol": 3},
        {**row("X.A", "X", "X", "USDT"), "exchange": None},
        {**row("X.A", "X", "X", "USDT"), "symbol": "\ud800"},
        ROWS[0],
        {**ROWS[0], "has_long_short_ratio_data": not ROWS[0].get("has_long_short_ratio_data")},
        "no object",
    ],
)
def test_row_without_symbol_exchange_or_base_is_dropped_and_counted(broken: Any) -> None:
    found = market_list_table(EXCHANGES, [*ROWS, broken], NOW)
    assert (len(found), found.attrs["dropped_rows"]) == (len(ROWS), 1)


@pytest.mark.parametrize("change", [{"base_asset": "OTHER"}, {"symbol_on_exchange": "other"}, {"is_perpetual": False}])
def test_symbol_listed_for_two_markets_is_ignored(change: dict[str, Any]) -> None:
    found = market_list_table(EXCHANGES, [*ROWS, {**ROWS[0], **change}], NOW)
    assert set(found["symbol"]) == {row["symbol"] for row in ROWS[1:]}
    assert found.attrs["dropped_rows"] == 2


@pytest.mark.parametrize("change", [{"has_long_short_ratio_data": None}, {"expire_at": 1_800_000_000_000}])
def test_kept_duplicate_row_does_not_depend_on_order(change: dict[str, Any]) -> None:
    rows = [ROWS[0], {**ROWS[0], **change}]
    one, other = (market_list_table(EXCHANGES, given, NOW) for given in (rows, rows[::-1]))
    assert len(one) == 1
    assert one.equals(other)


def test_missing_fields_default_to_false_and_never() -> None:
    found = market_list_table([], [{"symbol": "X.Q", "exchange": "Q", "base_asset": "X"}], NOW).iloc[0]
    assert not found["is_perpetual"]
    assert not found["has_long_short_ratio_data"]
    assert math.isnan(found["expire_at_ms"])
    assert (found["exchange_name"], found["quote_asset"]) == ("Q", "")


def test_naive_fetch_time_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        market_list_table([], [], datetime(2026, 1, 19))  # noqa: DTZ001 - the fault under test


LAST = [f"S{number}" for number in range(10)]


@pytest.mark.parametrize("answer", [LAST, LAST[:5], [*LAST[5:], "new"], LAST * 2])
def test_list_that_lost_at_most_half_is_accepted(answer: list[str]) -> None:
    refuse_shrunken_list("/future-markets", answer, LAST)


@pytest.mark.parametrize("answer", [LAST[:4], [*LAST[:4], *(f"new{number}" for number in range(20))]])
def test_list_that_lost_more_than_half_is_refused_with_counts(answer: list[str]) -> None:
    expected = f"/exchanges returned {len(answer)} rows and has lost 6 of the last 10"
    with pytest.raises(MarketListRefused, match=expected):
        refuse_shrunken_list("/exchanges", answer, LAST)


@pytest.mark.parametrize("last", [[], LAST])
def test_empty_list_is_refused_even_if_it_is_the_first(last: list[str]) -> None:
    with pytest.raises(MarketListRefused, match="empty list"):
        refuse_shrunken_list("/exchanges", [], last)


def test_first_list_is_accepted() -> None:
    refuse_shrunken_list("/exchanges", ["A"], [])
