"""An exchange's answer is checked like a candle file: what cannot be right is refused and counted, by reason."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_assets.candles.bar_cleaning import BarFault
from quant_assets.candles.bar_parsing import parse_bars
from quant_assets.candles.candle_file import CandleFileError
from quant_assets.candles.fetched_bars import FetchedBars, Refusal, check_fetched_bars, table_of_fetched
from quant_assets_tests.candles.candle_folder import QUARTER_MS, START_MS, bars

ROWS = [list(bar.values()) for bar in bars(5)]
#: When the last of the five bars has just closed.
CLOSED_MS = START_MS + 5 * QUARTER_MS


def check(rows: Any, now_ms: float = CLOSED_MS) -> FetchedBars:
    return check_fetched_bars(rows, QUARTER_MS, now_ms)


def changed(place: int, row: Any) -> list[Any]:
    return [*ROWS[:place], row, *ROWS[place + 1 :]]


def with_field(field: int, value: Any, place: int = 2) -> list[Any]:
    return changed(place, [*ROWS[place][:field], value, *ROWS[place][field + 1 :]])


def test_valid_closed_bars_are_kept_as_they_are() -> None:
    found = check(ROWS)
    assert found.columns.T.tolist() == ROWS
    assert found.refused == {}


@pytest.mark.parametrize(
    ("now_ms", "kept", "refused"),
    [
        (CLOSED_MS - 1, 4, {Refusal.NOT_CLOSED: 1}),
        (CLOSED_MS - QUARTER_MS, 4, {Refusal.NOT_CLOSED: 1}),
        (CLOSED_MS - QUARTER_MS - 1, 3, {Refusal.FUTURE: 1, Refusal.NOT_CLOSED: 1}),
        (START_MS + 1, 0, {Refusal.FUTURE: 4, Refusal.NOT_CLOSED: 1}),
    ],
)
def test_bar_counts_from_its_end_by_the_time_of_the_exchange(
    now_ms: float, kept: int, refused: dict[Refusal, int]
) -> None:
    found = check(ROWS, now_ms)
    assert (found.columns.shape[1], found.refused) == (kept, refused)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (changed(2, [None] * 6), Refusal.NOT_NUMBERS),
        (changed(2, None), Refusal.NOT_NUMBERS),
        (changed(2, []), Refusal.NOT_NUMBERS),
        (changed(2, ROWS[2][:5]), Refusal.NOT_NUMBERS),
        (changed(2, [*ROWS[2], 1]), Refusal.NOT_NUMBERS),
        (changed(2, "<html>"), Refusal.NOT_NUMBERS),
        (changed(2, {"time": 1}), Refusal.NOT_NUMBERS),
        (with_field(4, float("nan")), Refusal.NOT_NUMBERS),
        (with_field(5, float("inf")), Refusal.NOT_NUMBERS),
        (with_field(5, 1e19), Refusal.NOT_NUMBERS),
        (with_field(5, 10**400), Refusal.NOT_NUMBERS),
        (with_field(4, "much"), Refusal.NOT_NUMBERS),
        (with_field(0, ROWS[2][0] + 1), Refusal.INVALID_TIME),
        (with_field(0, ROWS[2][0] // 1000), Refusal.INVALID_TIME),
        (with_field(0, ROWS[2][0] * 1000), Refusal.INVALID_TIME),
        (with_field(0, 0), Refusal.INVALID_TIME),
        (with_field(0, START_MS + 10 * QUARTER_MS), Refusal.FUTURE),
        (with_field(1, 0.0), Refusal.NOT_POSITIVE),
        (with_field(3, -1.0), Refusal.NOT_POSITIVE),
        (with_field(5, -0.5), Refusal.NEGATIVE_VOLUME),
        (with_field(2, 1.0), Refusal.CONTRADICTORY),
        (with_field(3, 13.0), Refusal.CONTRADICTORY),
    ],
)
def test_row_that_cannot_be_right_is_refused_alone(rows: list[Any], reason: Refusal) -> None:
    found = check(rows)
    assert found.columns.T.tolist() == [*ROWS[:2], *ROWS[3:]]
    assert found.refused == {reason: 1}


def test_order_does_not_matter_and_the_later_of_two_bars_counts() -> None:
    later = [*ROWS[1][:5], 77.0]
    found = check([*reversed(ROWS), later])
    assert found.columns.T.tolist() == [ROWS[0], later, *ROWS[2:]]
    assert found.refused == {Refusal.SUPERSEDED: 1}


def test_numbers_may_be_strings() -> None:
    assert check([[str(value) for value in row] for row in ROWS]).columns.T.tolist() == ROWS


@pytest.mark.parametrize("rows", [[], [[]], [[None] * 6] * 3, ["<", "h", "t"], "<html>", [None]])
def test_answer_without_bars_has_no_bars(rows: Any) -> None:
    found = check(rows)
    assert found.columns.shape == (6, 0)
    assert sum(found.refused.values()) == len(rows)


@given(st.lists(st.lists(st.one_of(st.none(), st.floats(), st.integers(), st.text(max_size=3)), max_size=7)))
def test_any_rows_are_either_kept_or_counted(rows: list[Any]) -> None:
    found = check(rows)
    assert found.columns.shape[1] + sum(found.refused.values()) == len(rows)


NUMBERS = st.sampled_from([-1.0, 0.0, 1.0, 2.0, 3.0])


@given(st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS), min_size=1, max_size=6))
def test_answers_and_candle_files_keep_the_same_bars(rows: list[tuple[float, ...]]) -> None:
    fields = ("time", "open", "high", "low", "close", "volume")
    timed = [(START_MS + place * QUARTER_MS, *row) for place, row in enumerate(rows)]
    found = check(timed, START_MS + 100 * QUARTER_MS)
    content = str([dict(zip(fields, row, strict=True)) for row in timed]).replace("'", '"').encode()
    try:
        file = parse_bars(content, QUARTER_MS)
    except CandleFileError:
        assert found.columns.shape[1] == 0
    else:
        assert np.array_equal(found.columns, file.columns)
        assert sum(found.refused.values()) == file.dropped


def test_every_fault_of_a_bar_is_a_reason_to_refuse_it() -> None:
    assert {fault.name for fault in BarFault} < {reason.name for reason in Refusal}


def test_bars_of_several_symbols_become_one_table_to_merge() -> None:
    found = table_of_fetched([("B", check(ROWS)), ("A", check(ROWS[:1])), ("EMPTY", check([]))])
    assert found["symbol"].tolist() == ["B"] * 5 + ["A"]
    assert found["time_ms"].tolist() == [row[0] for row in [*ROWS, ROWS[0]]]
    assert found["volume"].tolist() == [row[5] for row in [*ROWS, ROWS[0]]]
    assert len(table_of_fetched([])) == 0
