"""What is asked for, and for which range."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from quant_assets.derivatives.datasets import DATASETS, SPECS
from quant_assets.derivatives.planner import NEEDED, RETENTION, due_symbols, needed_from, pack, range_to_ask
from quant_assets.windows import LENGTH, Window

WINDOW = Window(datetime(2026, 1, 19, 17, 0, tzinfo=UTC))
SYMBOLS = st.lists(st.text(min_size=1, max_size=6), unique=True, max_size=60)


def test_the_never_known_come_before_the_stale_and_the_older_before_the_newer() -> None:
    end = WINDOW.end_seconds
    due = due_symbols(
        {"open_interest": ["A", "B", "C", "D"]},
        {"open_interest": {"A": end - 900, "B": end - 1800, "C": end}},
        WINDOW,
    )
    assert due["open_interest"] == ["D", "B", "A"]


def test_a_dataset_is_due_when_its_data_are_as_old_as_its_cadence() -> None:
    end = WINDOW.end_seconds
    for dataset in DATASETS:
        cadence = int(SPECS[dataset].cadence.total_seconds())
        just_due = due_symbols({dataset: ["A"]}, {dataset: {"A": end - cadence}}, WINDOW)
        not_yet = due_symbols({dataset: ["A"]}, {dataset: {"A": end - cadence + 900}}, WINDOW)
        assert (just_due[dataset], not_yet[dataset]) == (["A"], [])


@given(wanted=st.fixed_dictionaries(dict.fromkeys(DATASETS, SYMBOLS)), size=st.integers(1, 20))
def test_requests_hold_everything_once_and_are_full_but_the_last(wanted: dict[str, list[str]], size: int) -> None:
    due = due_symbols(wanted, {}, WINDOW)  # type: ignore[arg-type]
    requests = list(pack(due, size))
    for dataset in DATASETS:
        of_dataset = [request for request in requests if request.dataset == dataset]
        assert sorted(symbol for request in of_dataset for symbol in request.symbols) == sorted(wanted[dataset])
        assert all(len(request.symbols) == size for request in of_dataset[:-1])


@given(back=st.integers(0, 40_000), late=st.floats(0, 900))
def test_a_request_covers_what_its_window_needs_and_no_more_than_the_provider_keeps(back: int, late: float) -> None:
    now = WINDOW.end + timedelta(seconds=late)
    window = Window(WINDOW.end - back * LENGTH)
    start, end = range_to_ask(window, now.timestamp())
    assert start <= needed_from(window) - 900
    assert end >= window.end_seconds
    assert end <= now.timestamp() + 1
    assert end - start <= RETENTION.total_seconds() + NEEDED.total_seconds() * 2
