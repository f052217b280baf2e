"""Missing bars are found, asked for once, and never filled; those that the exchange did not have are remembered."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_assets.candles.bar_gaps import GAP_DTYPES, BarGaps
from quant_assets.candles.bar_spans import Span
from quant_assets.candles.bar_store import BarStore
from quant_assets.common.timeframes import STEP_MS
from quant_assets_tests.candles.stored_bars import EXCHANGE, START_MS, everything, store_in, table_of

STEP = STEP_MS["15m"]
Gap = tuple[str, int, int, bool]


@pytest.fixture
def store(tmp_path: Path) -> BarStore:
    return store_in(tmp_path)


def merge(store: BarStore, symbol: str, *places: int) -> None:
    store.merge(EXCHANGE, "15m", table_of([(symbol, place, 1) for place in places]))


def gaps_in(table: pd.DataFrame) -> list[Gap]:
    """Return gaps as symbol, place of the first missing bar, place behind the last, and whether it was asked for."""
    assert table.dtypes.astype("str").to_dict() == GAP_DTYPES
    assert ((table["end_ms"] - table["start_ms"]) // STEP).tolist() == table["bars"].tolist()
    starts, ends = ((table[name] - START_MS) // STEP for name in ("start_ms", "end_ms"))
    return list(zip(table["symbol"], starts.tolist(), ends.tolist(), table["asked"].tolist(), strict=True))


def between(store: BarStore) -> list[Gap]:
    return gaps_in(BarGaps(store).between_bars(EXCHANGE, "15m"))


def to_fetch(store: BarStore, *symbols: str, first: int = 0, last: int = 10) -> list[Gap]:
    found = BarGaps(store).to_fetch(EXCHANGE, "15m", symbols, START_MS + first * STEP, START_MS + last * STEP)
    return gaps_in(found)


def record_all(store: BarStore) -> None:
    BarGaps(store).record_asked(BarGaps(store).between_bars(EXCHANGE, "15m"))


def test_gaps_lie_between_the_first_and_last_bar_of_a_series(store: BarStore) -> None:
    merge(store, "A", 0, 1, 4, 5, 7)
    merge(store, "B", 2, 3)
    merge(store, "C", 90, 200)
    assert between(store) == [("A", 2, 4, False), ("A", 6, 7, False), ("C", 91, 200, False)]


def test_gap_table_names_exchange_timeframe_and_number_of_bars(store: BarStore) -> None:
    merge(store, "A", 0, 3)
    row = BarGaps(store).between_bars(EXCHANGE, "15m").iloc[0]
    assert (row.exchange, row.timeframe, row.bars) == (EXCHANGE, "15m", 2)
    assert (row.start_ms, row.end_ms) == (START_MS + STEP, START_MS + 3 * STEP)


def test_gap_that_was_asked_for_in_vain_is_not_fetched_again(store: BarStore) -> None:
    merge(store, "A", 0, 3, 5, 9)
    assert to_fetch(store, "A") == [("A", 1, 3, False), ("A", 4, 5, False), ("A", 6, 9, False)]
    record_all(store)
    assert to_fetch(store, "A") == []
    assert between(store) == [("A", 1, 3, True), ("A", 4, 5, True), ("A", 6, 9, True)]
    merge(store, "A", 12)
    assert between(store)[3:] == [("A", 10, 12, False)]
    assert to_fetch(store, "A", last=15) == [("A", 10, 12, False), ("A", 13, 15, False)]
    assert len(everything(store)) == 5  # nothing was filled


def test_bars_that_come_late_shrink_the_gap_that_is_recorded(store: BarStore) -> None:
    merge(store, "A", 0, 6)
    record_all(store)
    merge(store, "A", 3)
    assert between(store) == [("A", 1, 3, True), ("A", 4, 6, True)]
    merge(store, "A", 1, 2, 4, 5)
    assert between(store) == []


def test_bars_that_fill_a_recorded_gap_hide_no_later_gap_of_the_same_length(store: BarStore) -> None:
    merge(store, "A", 0, 7)
    record_all(store)
    merge(store, "A", *range(1, 7), 14)
    assert between(store) == [("A", 8, 14, False)]
    assert to_fetch(store, "A", last=15) == [("A", 8, 14, False)]


def test_stored_bars_are_never_recorded_as_asked_for(store: BarStore) -> None:
    merge(store, "A", 0, 4, 9)
    whole = {"A": [Span(START_MS, START_MS + 10 * STEP)]}
    store.record_asked(EXCHANGE, "15m", whole)
    assert between(store) == [("A", 1, 4, True), ("A", 5, 9, True)]
    merge(store, "A", 6)
    assert between(store) == [("A", 1, 4, True), ("A", 5, 6, True), ("A", 7, 9, True)]


def test_bars_lost_beside_a_recorded_gap_are_fetched(store: BarStore, tmp_path: Path) -> None:
    merge(store, "A", *range(90), *range(100, 300))
    record_all(store)
    (tmp_path / "lake" / "exchange_bars" / EXCHANGE / "15m" / "2026-01-20.parquet").write_bytes(b"damaged")
    assert store.recount(EXCHANGE, "15m")
    assert between(store) == [("A", 90, 192, False)]
    assert to_fetch(store, "A", last=300) == [("A", 100, 192, False)]


def test_market_without_bars_is_fetched_whole(store: BarStore) -> None:
    merge(store, "B", 3)
    assert to_fetch(store, "A") == [("A", 0, 10, False)]


def test_history_before_and_behind_stored_bars_is_fetched(store: BarStore) -> None:
    merge(store, "A", 4, 5)
    assert to_fetch(store, "A") == [("A", 0, 4, False), ("A", 6, 10, False)]
    assert to_fetch(store, "A", first=5, last=6) == []
    assert to_fetch(store, "A", first=6, last=8) == [("A", 6, 8, False)]
    assert to_fetch(store, "A", first=1, last=3) == [("A", 1, 3, False)]


def test_history_before_a_listing_is_asked_for_once(store: BarStore) -> None:
    merge(store, "A", 4, 5)
    gaps = BarGaps(store)
    before = gaps.to_fetch(EXCHANGE, "15m", ["A"], START_MS, START_MS + 6 * STEP)
    gaps.record_asked(before)
    assert to_fetch(store, "A", last=6) == []
    assert to_fetch(store, "A", first=-3, last=6) == [("A", -3, 0, False)]
    assert between(store) == []


def test_gaps_of_exchanges_and_timeframes_are_apart(store: BarStore) -> None:
    merge(store, "A", 0, 3)
    store.merge("OKX", "15m", table_of([("A", place, 1) for place in (0, 3)]))
    store.merge(EXCHANGE, "4h", table_of([("A", place, 1) for place in (0, 3)], "4h"))
    record_all(store)
    assert not BarGaps(store).between_bars("OKX", "15m")["asked"].any()
    assert not BarGaps(store).between_bars(EXCHANGE, "4h")["asked"].any()


def test_damaged_record_asks_once_more(store: BarStore, tmp_path: Path) -> None:
    merge(store, "A", 0, 3)
    record_all(store)
    (tmp_path / "lake" / "exchange_bars" / EXCHANGE / "15m-asked.parquet").write_bytes(b"damaged")
    assert between(store) == [("A", 1, 3, False)]
    record_all(store)
    assert between(store) == [("A", 1, 3, True)]


def test_record_without_stored_bars_is_kept(store: BarStore) -> None:
    gaps = BarGaps(store)
    gaps.record_asked(gaps.to_fetch(EXCHANGE, "15m", ["NEW"], START_MS, START_MS + 10 * STEP))
    assert to_fetch(store, "NEW", last=12) == [("NEW", 10, 12, False)]
    assert between(store) == []


PLACES = st.sets(st.integers(0, 40), max_size=30)


@settings(max_examples=30)
@given(st.lists(st.tuples(PLACES, PLACES), max_size=4), st.integers(-5, 45), st.integers(-5, 45))
def test_what_is_fetched_is_what_is_neither_stored_nor_asked_for(
    steps: list[tuple[set[int], set[int]]], first: int, last: int
) -> None:
    """Each step stores bars and records others as asked for; some of these may be stored, or are later."""
    with TemporaryDirectory() as folder:
        store, known, asked = store_in(Path(folder)), set[int](), set[int]()
        for stored, asked_now in steps:
            merge(store, "A", *stored)
            known |= stored
            if asked_now:
                spans = [Span(START_MS + place * STEP, START_MS + (place + 1) * STEP) for place in sorted(asked_now)]
                store.record_asked(EXCHANGE, "15m", {"A": spans})
            asked |= asked_now
        fetched = [
            place for _, start, end, _ in to_fetch(store, "A", first=first, last=last) for place in range(start, end)
        ]
        assert fetched == sorted(set(range(first, last)) - known - asked)
        found = between(store)
        inner = set(range(min(known, default=0), max(known, default=0))) - known
        assert [place for _, start, end, _ in found for place in range(start, end)] == sorted(inner)
        assert [asked.issuperset(range(start, end)) for _, start, end, _ in found] == [gap[3] for gap in found]
