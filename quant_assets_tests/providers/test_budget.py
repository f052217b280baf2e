"""Tests of the call budget, with several clients and with clock jumps."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread

import pytest
import sqlalchemy as sa
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_assets.providers.budget import LEASE_MS, MAX_REQUEST_MS, CallBudget, Lease
from quant_assets.providers.coinalyze.client import RESPONSE_TIMEOUT_SECONDS
from quant_assets.providers.errors import BudgetUnusable, DeadlineExceeded
from quant_assets_tests.providers.conftest import VirtualClock


def budget_at(tmp_path: Path, clock: VirtualClock, calls_per_minute: int = 40) -> CallBudget:
    return CallBudget(tmp_path / "budget.sqlite", calls_per_minute, clock=clock, sleep=clock.sleep)


def spend(budget: CallBudget, calls: int) -> None:
    """Acquire calls, and get the response at once."""
    budget.commit(budget.acquire(calls))


def test_burst_up_to_the_limit_is_immediate_and_the_next_call_waits(tmp_path: Path, clock: VirtualClock) -> None:
    budget = budget_at(tmp_path, clock)
    start = clock.now
    spend(budget, 20)
    spend(budget, 20)
    assert clock.now == start
    spend(budget, 20)
    assert clock.now - start == pytest.approx(60, abs=0.01)
    assert budget.waited_seconds == pytest.approx(60, abs=0.01)


@settings(max_examples=20, deadline=None)
@given(
    limit=st.integers(20, 30),
    steps=st.lists(
        st.tuples(
            st.sampled_from(["answered", "killed", "released", "shrunk", "throttled"]),
            st.integers(10, 20),
            st.sampled_from([0.0, 4.0, 20.0]),  # seconds from `acquire` until it is sent
            st.sampled_from([0.0, 1.5, 60.0]),  # seconds until it arrives
            st.sampled_from([0.0, 0.0, 0.3, 30.0]),  # seconds until the next one
        ),
        min_size=1,
        max_size=8,
    ),
)
def test_no_sliding_minute_at_the_provider_exceeds_the_limit(
    limit: int, steps: list[tuple[str, int, float, float, float]]
) -> None:
    clock, arrived = VirtualClock(), list[tuple[float, int]]()
    with TemporaryDirectory() as folder, closing(budget_at(Path(folder), clock, limit)) as budget:
        for what, acquired, claiming, latency, pause in steps:
            calls = acquired
            lease = budget.acquire(calls)
            clock.now += claiming
            if what == "released":
                budget.release(lease)
                continue
            if what == "shrunk":
                calls = acquired // 2 + 1
                budget.shrink(lease, calls)
            assert budget.renew(lease)
            if what == "killed":  # its request arrives while others go on
                arrived.append((clock.now + latency, calls))
            else:
                clock.now += latency
                arrived.append((clock.now, calls))
                budget.commit(lease)
            if what == "throttled":
                budget.pause(pause)
            clock.now += pause
    for moment, _ in arrived:
        assert sum(calls for at, calls in arrived if moment - 60 <= at <= moment) <= limit


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


def test_calls_of_a_killed_process_count_for_130_seconds(tmp_path: Path, clock: VirtualClock) -> None:
    dying = multiprocessing.get_context("spawn").Process(
        target=_acquire_and_die, args=(tmp_path / "budget.sqlite", 20, clock.now)
    )
    dying.start()
    dying.join(timeout=60)
    assert dying.exitcode == -signal.SIGKILL
    acquired = clock.now
    clock.now += 59.0  # its request may arrive only now
    budget_at(tmp_path, clock, 20).acquire(20)
    assert clock.now - acquired == pytest.approx(130, abs=0.01)


def test_lease_lasts_longer_than_the_longest_request() -> None:
    assert LEASE_MS > MAX_REQUEST_MS > 1000 * RESPONSE_TIMEOUT_SECONDS


def test_renewed_lease_lasts_for_a_whole_request(tmp_path: Path, clock: VirtualClock) -> None:
    budget, other = budget_at(tmp_path, clock, 20), budget_at(tmp_path, clock, 20)
    lease = budget.acquire(20)
    clock.now += 60.0
    assert budget.renew(lease)
    renewed = clock.now
    other.acquire(1)
    assert clock.now - renewed == pytest.approx(130, abs=0.01)


def test_lease_that_has_ended_is_not_renewed(tmp_path: Path, clock: VirtualClock) -> None:
    budget, other = budget_at(tmp_path, clock, 20), budget_at(tmp_path, clock, 20)
    lease = budget.acquire(20)
    clock.now += 131.0
    other.acquire(20)
    assert not budget.renew(lease)
    assert budget.spent() == 20


def test_wait_for_a_lease_assumes_that_its_response_is_about_to_come(tmp_path: Path, clock: VirtualClock) -> None:
    """A deadline in 61 s can be met: the response may come in a second."""
    budget, other, leases = budget_at(tmp_path, clock, 20), budget_at(tmp_path, clock, 20), list[Lease]()
    leases.append(budget.acquire(20))
    start = clock.now

    def answer(_: float) -> None:
        if leases and clock.now >= start + 1:
            budget.commit(leases.pop())

    other.acquire(20, deadline=start + 62, on_wait=answer)
    assert clock.now - start == pytest.approx(61, abs=0.1)


def test_calls_fit_as_soon_as_enough_earlier_ones_have_ended(tmp_path: Path, clock: VirtualClock) -> None:
    budget, waits = budget_at(tmp_path, clock, 20), list[float]()
    start = clock.now
    for calls in (5, 6, 9):
        spend(budget, calls)
        clock.now += 10.0
    budget.acquire(11, on_wait=waits.append)
    assert waits[0] == pytest.approx(40, abs=0.01)
    assert clock.now - start == pytest.approx(70, abs=0.01)


def test_available_includes_calls_that_expire_within_the_given_time(tmp_path: Path, clock: VirtualClock) -> None:
    budget = budget_at(tmp_path, clock)
    spend(budget, 30)
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
    spend(mine, 12)
    spend(yours, 8)
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


def test_damaged_file_found_by_two_processes_is_replaced_once(tmp_path: Path, clock: VirtualClock) -> None:
    """Both clients find the file damaged before either replaces it."""
    path, found, both = tmp_path / "budget.sqlite", list[object](), Event()
    path.write_bytes(b"no database" * 1000)

    def on_error(context: object) -> None:
        found.append(context)
        if len(found) == 2:
            both.set()

    clients = [Thread(target=lambda calls=calls: spend(budget_at(tmp_path, clock), calls)) for calls in (20, 15)]
    sa.event.listen(sa.Engine, "handle_error", on_error)
    try:
        with FileLock(f"{path}.lock"):
            for client in clients:
                client.start()
            assert both.wait(30)
            clients[0].join(0.3)
            assert all(client.is_alive() for client in clients)
    finally:
        sa.event.remove(sa.Engine, "handle_error", on_error)
    for client in clients:
        client.join(30)
    assert budget_at(tmp_path, clock).spent() == 35
    assert [file.read_bytes() for file in tmp_path.glob("*.damaged")] == [b"no database" * 1000]


def test_budget_of_a_newer_version_is_not_opened(tmp_path: Path, clock: VirtualClock) -> None:
    budget_at(tmp_path, clock).close()
    with closing(sqlite3.connect(tmp_path / "budget.sqlite")) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(BudgetUnusable, match=r"budget\.sqlite is of version 99, newer.*update the program"):
        budget_at(tmp_path, clock)


def test_429_throttles_the_budget_which_recovers_with_time(tmp_path: Path, clock: VirtualClock) -> None:
    budget, other = budget_at(tmp_path, clock, 40), budget_at(tmp_path, clock, 40)
    budget.pause(10)
    assert other.share() == pytest.approx(0.75)
    clock.now += 10
    start = clock.now
    spend(other, 20)
    spend(other, 20)
    assert clock.now - start == pytest.approx(60, abs=0.1)
    budget.pause(1)
    assert budget.share() < 0.6
    clock.now += 30 * 60
    assert budget.share() == 1.0


def test_refusals_on_their_way_during_a_pause_throttle_once(tmp_path: Path, clock: VirtualClock) -> None:
    budget = budget_at(tmp_path, clock, 40)
    for _ in range(3):
        budget.pause(5)
    assert budget.share() == pytest.approx(0.75)


def test_throttling_leaves_at_least_a_quarter_of_the_limit(tmp_path: Path, clock: VirtualClock) -> None:
    budget = budget_at(tmp_path, clock, 40)
    for _ in range(20):
        budget.pause(0.1)
        clock.sleep(0.1)
    assert budget.share() == pytest.approx(0.25, abs=0.001)
    start = clock.now
    budget.acquire(10)
    assert clock.now - start <= 61
