"""The call budget in PostgreSQL, whose own time counts. Periods are short, since nobody can set that clock."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from contextlib import closing

import psycopg2
import pytest

from quant_assets.common.database_server import DatabaseServer
from quant_assets.providers.budget import LEASE_MS, CallBudget
from quant_assets.providers.errors import DeadlineExceeded
from quant_assets_tests.providers.conftest import VirtualClock

pytestmark = pytest.mark.slow
LIMIT = 10


@pytest.fixture
def server(database_url: str) -> DatabaseServer:
    return DatabaseServer(database_url, "coinalyze")


def test_budgets_of_one_database_do_not_share_calls_or_pauses(server: DatabaseServer) -> None:
    with closing(CallBudget(server, LIMIT)) as one, closing(CallBudget(server.part_of("bybit-bybit"), LIMIT)) as two:
        one.acquire(LIMIT)
        one.pause(30)
        assert (one.spent(), one.available()) == (LIMIT, 0)
        assert (two.spent(), two.available(), two.share()) == (0, LIMIT, 1.0)
        two.acquire(LIMIT)


def test_machines_with_other_clocks_share_one_period(server: DatabaseServer) -> None:
    """A machine that started an hour ago, and one that started just now, have other monotonic clocks."""
    period, moments = 0.4, []
    ahead = CallBudget(server, LIMIT, period_seconds=period, clock=lambda: time.monotonic() + 3600)
    behind = CallBudget(server, LIMIT, period_seconds=period, clock=lambda: time.monotonic() - 3600)
    with closing(ahead), closing(behind):
        for budget in (ahead, behind) * 3:
            lease = budget.acquire(LIMIT // 2)
            assert budget.renew(lease)
            moments.append(time.monotonic())
            budget.commit(lease)
    assert all(third - first >= period for first, third in zip(moments, moments[2:], strict=False))
    assert moments[-1] - moments[0] < 60


def _acquire_and_die(server: DatabaseServer) -> None:
    CallBudget(server, LIMIT).acquire(LIMIT - 1)
    os.kill(os.getpid(), signal.SIGKILL)


def test_lease_of_a_killed_process_counts_until_its_end(server: DatabaseServer) -> None:
    process = multiprocessing.get_context("fork").Process(target=_acquire_and_die, args=(server,))
    process.start()
    process.join(60)
    clock = VirtualClock()
    with closing(CallBudget(server, LIMIT, clock=clock, sleep=clock.sleep)) as budget:
        assert budget.spent() == LIMIT - 1
        with pytest.raises(DeadlineExceeded):
            budget.acquire(2, deadline=clock.now + 5)
        with closing(psycopg2.connect(server.url)) as connection, connection.cursor() as cursor:
            cursor.execute(
                "UPDATE quant_assets.call_leases SET counts_until_ms = counts_until_ms - %s", (LEASE_MS + 60_000,)
            )
            connection.commit()
        assert budget.spent() == 0
        budget.acquire(2)


def test_released_and_shrunk_calls_can_be_acquired_again(server: DatabaseServer) -> None:
    with closing(CallBudget(server, LIMIT)) as budget:
        lease = budget.acquire(LIMIT)
        budget.shrink(lease, 3)
        assert budget.available() == LIMIT - 3
        budget.release(lease)
        assert budget.available() == LIMIT


def _acquire(server: DatabaseServer, done: multiprocessing.Queue[int]) -> None:
    with closing(CallBudget(server, LIMIT)) as budget:
        acquired = 0
        try:
            while True:
                budget.acquire(1, deadline=time.monotonic() + 1)
                acquired += 1
        except DeadlineExceeded:
            done.put(acquired)


def test_processes_together_acquire_no_more_than_the_limit(server: DatabaseServer) -> None:
    context = multiprocessing.get_context("fork")
    done: multiprocessing.Queue[int] = context.Queue()
    processes = [context.Process(target=_acquire, args=(server, done)) for _ in range(3)]
    for process in processes:
        process.start()
    assert sum(done.get(timeout=60) for _ in processes) == LIMIT
    for process in processes:
        process.join(60)
