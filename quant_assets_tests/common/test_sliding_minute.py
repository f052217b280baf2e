"""Test the limit on calls in any sliding minute against counting call by call."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from quant_assets.common.sliding_minute import SlidingMinute

MINUTE = SlidingMinute.LENGTH
Spent = list[tuple[int, int]]
SPENT = st.lists(st.tuples(st.integers(0, 3 * MINUTE), st.integers(1, 25)), max_size=12).map(sorted)


def minute_of(spent: Spent, limit: int = 40) -> SlidingMinute:
    minute = SlidingMinute(limit)
    for at, calls in spent:
        minute.spend(calls, at)
    return minute


def fits(spent: Spent, calls: int, at: int, limit: int = 40) -> bool:
    return sum(count for spent_at, count in spent if spent_at > at - MINUTE) + calls <= limit


def test_wait_ends_when_enough_calls_have_left_the_minute() -> None:
    spent = [(0, 10), (10_000_000, 10), (20_000_000, 20)]
    now = 30_000_000
    assert minute_of(spent).earliest(10, now) == 60_000_000
    assert minute_of(spent).earliest(11, now) == 70_000_000
    assert minute_of(spent).earliest(20, now) == 70_000_000
    assert minute_of(spent).earliest(21, now) == 80_000_000


def test_calls_above_the_limit_wait_a_whole_minute() -> None:
    assert SlidingMinute(40).earliest(41, 5) == 5 + MINUTE


def test_calls_spent_above_the_limit_count() -> None:
    minute = minute_of([(0, 30), (1, 30)])
    assert minute.available(1) == -20
    assert minute.earliest(20, 1) == 1 + MINUTE


@given(SPENT, st.integers(1, 40), st.integers(0, 2 * MINUTE))
def test_earliest_time_is_the_first_at_which_the_calls_fit(spent: Spent, calls: int, wait: int) -> None:
    now = max([at for at, _ in spent], default=0) + wait
    found = minute_of(spent).earliest(calls, now)
    assert fits(spent, calls, found)
    assert found == now or not fits(spent, calls, found - 1)


@given(SPENT, st.integers(0, 2 * MINUTE))
def test_available_calls_fit_and_one_more_does_not(spent: Spent, wait: int) -> None:
    at = max([at for at, _ in spent], default=0) + wait
    available = minute_of(spent).available(at)
    assert fits(spent, available, at)
    assert not fits(spent, available + 1, at)


def test_length_can_be_other_than_a_minute() -> None:
    window = SlidingMinute(2, 5_000_000)
    window.spend(2, 0)
    assert window.earliest(1, 1) == 5_000_000
    assert window.earliest(1, 5_000_000) == 5_000_000
    assert window.earliest(3, 7) == 5_000_007
