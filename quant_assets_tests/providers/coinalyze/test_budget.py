"""Tests of the call budget, with several clients and with clock jumps."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import time
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from pyrate_limiter import SQLiteBucket

from quant_assets.providers.coinalyze.budget import CallBudget
from quant_assets.providers.coinalyze.errors import DeadlineExceeded
from quant_assets_tests.providers.coinalyze.conftest import VirtualClock


def budget_at(tmp_path: Path, clock: VirtualClock, calls_per_minute: int = 40) -> CallBudget:
    return CallBudget(tmp_path / "budget.sqlite", calls_per_minute, clock=clock, sleep=clock.sleep)


def test_burst_up_to_the_limit_is_immediate_and_the_next_call_waits(tmp_path: Path, clock: VirtualClock) -> None:
    budget = budget_at(tmp_path, clock)
    start = clock.now
    budget.acquire(20)
    budget.acquire(20)
    assert clock.now == start
    budget.acquire(20)
    assert clock.now - start == pytest.approx(60, abs=0.01)
    assert budget.waited_seconds == pytest.approx(60, abs=0.01)


def test_no_sliding_minute_exceeds_the_limit(tmp_path: Path, clock: VirtualClock) -> None:
    budget = budget_at(tmp_path, clock, 50)
    acquired: list[tuple[float, int]] = []
    for step in range(60):
        calls = (7, 20, 1, 13)[step % 4]
        budget.acquire(calls)
        acquired.append((clock.now, calls))
        clock.now += (0.0, 0.4, 3.0)[step % 3]
    for moment, _ in acquired:
        assert sum(calls for at, calls in acquired if moment - 60 < at <= moment) <= 50


def test_calls_count_from_their_response_so_that_latency_causes_no_429(tmp_path: Path, clock: VirtualClock) -> None:
    budget = budget_at(tmp_path, clock, 20)
    lease = budget.acquire(20)
    clock.now += 4.0
    budget.commit(lease)
    answered = clock.now
    budget.acquire(20)
    assert clock.now - answered >= 60


def _acquire_and_die(path: Path, calls: int, moment: float) -> None:
    CallBudget(path, 20, clock=lambda: moment).acquire(calls)
    os.kill(os.getpid(), signal.SIGKILL)


def test_calls_of_a_killed_process_count_from_the_next_acquire(tmp_path: Path, clock: VirtualClock) -> None:
    dying = multiprocessing.get_context("spawn").Process(
        target=_acquire_and_die, args=(tmp_path / "budget.sqlite", 20, clock.now)
    )
    dying.start()
    dying.join(timeout=60)
    assert dying.exitcode == -signal.SIGKILL
    clock.now += 59.0  # its request may have arrived only now
    asked = clock.now
    budget_at(tmp_path, clock, 20).acquire(20)
    assert clock.now - asked >= 60


def test_available_includes_calls_that_expire_within_the_given_time(tmp_path: Path, clock: VirtualClock) -> None:
    budget = budget_at(tmp_path, clock)
    budget.acquire(30)
    assert budget.available(59.0) == 10
    clock.now += 59.5
    assert budget.available() == 10
    assert budget.available(1.0) == 40


def test_released_calls_can_be_acquired_again(tmp_path: Path, clock: VirtualClock) -> None:
    budget = budget_at(tmp_path, clock, 20)
    start = clock.now
    budget.release(budget.acquire(20))
    budget.acquire(20)
    assert clock.now == start
    assert budget.spent() == 20


def test_deadline_that_cannot_be_met_is_refused_at_once(tmp_path: Path, clock: VirtualClock) -> None:
    budget = budget_at(tmp_path, clock, 20)
    budget.acquire(20)
    start = clock.now
    with pytest.raises(DeadlineExceeded):
        budget.acquire(20, deadline=start + 30)
    assert clock.now == start
    with pytest.raises(DeadlineExceeded):
        budget.acquire(1, deadline=start)


def test_pause_blocks_all_clients_of_the_budget(tmp_path: Path, clock: VirtualClock) -> None:
    mine, yours = budget_at(tmp_path, clock), budget_at(tmp_path, clock)
    start = clock.now
    mine.pause(12.5)
    mine.pause(3)
    yours.acquire(1)
    assert clock.now - start == pytest.approx(12.5, abs=0.01)


def test_two_clients_of_one_file_share_one_budget(tmp_path: Path, clock: VirtualClock) -> None:
    mine, yours = budget_at(tmp_path, clock, 20), budget_at(tmp_path, clock, 20)
    start = clock.now
    mine.acquire(12)
    yours.acquire(8)
    assert clock.now == start
    yours.acquire(1)
    assert clock.now - start == pytest.approx(60, abs=0.01)


@pytest.mark.parametrize("jump", [-3600.0, -5.0, 3600.0])
def test_clock_jump_blocks_calls_for_at_most_a_minute(tmp_path: Path, clock: VirtualClock, jump: float) -> None:
    budget = budget_at(tmp_path, clock, 20)
    budget.acquire(20)
    budget.pause(5)
    clock.now += jump
    start = clock.now
    budget.acquire(20)
    assert clock.now - start <= 60.1


def test_new_pause_holds_after_a_reboot_during_an_earlier_pause(tmp_path: Path, clock: VirtualClock) -> None:
    budget_at(tmp_path, clock).pause(30)
    clock.now -= 3600.0  # the monotonic clock restarts with the machine
    budget, start = budget_at(tmp_path, clock), clock.now
    budget.pause(12.5)
    budget.acquire(1)
    assert clock.now - start == pytest.approx(12.5, abs=0.01)


def test_more_calls_than_the_limit_raise_value_error(tmp_path: Path, clock: VirtualClock) -> None:
    with pytest.raises(ValueError, match="never fit"):
        budget_at(tmp_path, clock, 10).acquire(20)


def _acquire_for_a_while(path: Path, calls_per_minute: int, moments: multiprocessing.Queue[float]) -> None:
    budget = CallBudget(path, calls_per_minute)
    deadline = time.monotonic() + 1.5
    try:
        while True:
            budget.acquire(5, deadline=deadline)
            moments.put(time.time())
    except DeadlineExceeded:
        moments.put(-1.0)


def calls_acquired_by_two_processes(path: Path) -> int:
    """Return the calls that two processes acquire of a budget of 100 within a minute."""
    context = multiprocessing.get_context("spawn")
    moments: multiprocessing.Queue[float] = context.Queue()
    workers = [context.Process(target=_acquire_for_a_while, args=(path, 100, moments)) for _ in range(2)]
    for worker in workers:
        worker.start()
    acquired, finished = 0, 0
    while finished < 2:
        if moments.get(timeout=30) < 0:
            finished += 1
        else:
            acquired += 5
    for worker in workers:
        worker.join(timeout=30)
    return acquired


def test_two_processes_together_acquire_no_more_than_the_limit(tmp_path: Path) -> None:
    assert calls_acquired_by_two_processes(tmp_path / "budget.sqlite") == 100


def test_damaged_file_found_by_two_processes_is_replaced_once(
    tmp_path: Path, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second client opens the file after the first has found it damaged, before it is replaced."""
    (tmp_path / "budget.sqlite").write_bytes(b"no database" * 1000)
    open_file, others = SQLiteBucket.init_from_file, []

    def found_damaged_by_two(*arguments: Any, **options: Any) -> SQLiteBucket:
        try:
            return open_file(*arguments, **options)
        except sqlite3.DatabaseError:
            if not others:
                others.append(Thread(target=lambda: budget_at(tmp_path, clock).acquire(20)))
                others[0].start()
                others[0].join(1.0)
            raise

    monkeypatch.setattr(SQLiteBucket, "init_from_file", found_damaged_by_two)
    budget = budget_at(tmp_path, clock)
    others[0].join(30)
    budget.acquire(15)
    assert budget.spent() == budget_at(tmp_path, clock).spent() == 35
    assert len(list(tmp_path.glob("*.damaged"))) == 1


def test_429_throttles_the_budget_which_recovers_with_time(tmp_path: Path, clock: VirtualClock) -> None:
    budget, other = budget_at(tmp_path, clock, 40), budget_at(tmp_path, clock, 40)
    budget.pause(10)
    assert other.share() == pytest.approx(0.75)
    clock.now += 10
    start = clock.now
    other.acquire(20)
    other.acquire(20)
    assert clock.now - start == pytest.approx(60, abs=0.1)
    budget.pause(1)
    assert budget.share() < 0.6
    clock.now += 30 * 60
    assert budget.share() == 1.0


def test_throttling_leaves_at_least_a_quarter_of_the_limit(tmp_path: Path, clock: VirtualClock) -> None:
    budget = budget_at(tmp_path, clock, 40)
    for _ in range(20):
        budget.pause(0.1)
    assert budget.share() == pytest.approx(0.25)
    start = clock.now
    budget.acquire(10)
    assert clock.now - start <= 61
