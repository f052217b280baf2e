"""A worker whose clock is an hour off: windows, ages and locks go by the time of the database."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import psycopg2
import pytest

from quant_assets.common.database_server import DatabaseServer
from quant_assets.common.windows import Window
from quant_assets.storage.held_lock import LOCK_SECONDS
from quant_assets.storage.lake import Lake
from quant_assets.storage.locks import exclusive
from quant_assets_tests.cluster.alone import fetch_anew, run_alone
from quant_assets_tests.defs.live import stop_process_group, wait_for
from quant_assets_tests.defs.workers import LAKE, Cluster, assert_equal_tables, published_feed

pytestmark = pytest.mark.cluster
NOW = """
import os, time
from quant_assets.common.settings import Settings
from quant_assets.common.windows import Window
from quant_assets.storage.database_clock import clock_of
clock = clock_of(Settings.from_environment(os.environ))
print(time.time(), clock.seconds(), Window.last_complete(clock.now()).key)
"""
HOLD = """
import os, time
from quant_assets.common.settings import Settings
from quant_assets.storage.locks import exclusive
with exclusive(Settings.from_environment(os.environ).database, "clock", lambda: print("waits", flush=True)):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture(params=[3600, -3600])
def wrong(request: pytest.FixtureRequest, cluster: Cluster) -> dict[str, str]:
    """Return the variables of a process on worker-1 whose clock is wrong by an hour."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("a wrong clock needs a C compiler (Debian: gcc, libc6-dev)")
    library = cluster.world.folder / "worker-1" / "wrong_clock.so"
    source = Path(__file__).with_name("wrong_clock.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True, timeout=60)
    return {"LD_PRELOAD": str(library), "WRONG_CLOCK_SECONDS": str(request.param)}


def test_windows_go_by_the_database(cluster: Cluster, wrong: dict[str, str]) -> None:
    before = time.time()
    asked = cluster.start_on("worker-1", "python", "-c", NOW, log="clock-now", more=wrong)
    assert asked.wait(60) == 0
    local, shared, window = cluster.log("clock-now").split()[-3:]
    assert abs(float(local) - before) > 3_000
    assert before - 1 < float(shared) < time.time() + 1
    assert window in {Window.last_complete(datetime.fromtimestamp(now, UTC)).key for now in (before, time.time())}


def test_scan_is_that_of_a_machine_with_the_right_time(cluster: Cluster, wrong: dict[str, str]) -> None:
    window = cluster.world.window.key
    fetch_anew(cluster)
    before = time.time()
    assert cluster.execute("worker-1", "clock-scan", "scan", window, None, **wrong).wait(120) == 0
    assert_equal_tables(run_alone(cluster.world, "scan", window), Lake(LAKE), window)
    assert before - 1 < published_feed()["last_updated"] / 1000 < time.time() + 1


def test_lock_lasts_as_long_as_its_holder_and_half_a_minute(cluster: Cluster, wrong: dict[str, str]) -> None:
    server = DatabaseServer(cluster.databases[1])
    log = f"clock-hold{wrong['WRONG_CLOCK_SECONDS']}"
    holder = cluster.start_on("worker-1", "python", "-c", HOLD, log=log, more=wrong)
    wait_for(lambda: "held" in cluster.log(log), 60, "the lock")
    assert 0 < _seconds_left(cluster.databases[1]) <= LOCK_SECONDS
    waited: list[float] = []

    def kill_the_holder() -> None:
        stop_process_group(holder, signal.SIGKILL)
        waited.append(time.monotonic())

    with exclusive(server, "clock", kill_the_holder):
        assert LOCK_SECONDS / 2 < time.monotonic() - waited[0] < LOCK_SECONDS + 2


def _seconds_left(url: str) -> float:
    """Return how long the lock lasts, by the time of the database."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT until_ms / 1000.0 - extract(epoch FROM clock_timestamp()) FROM quant_assets.locks"
            " WHERE name = 'clock'"
        )
        return float(cursor.fetchone()[0])


def test_lock_of_another_machine_is_not_taken(cluster: Cluster, wrong: dict[str, str]) -> None:
    log = f"clock-wait{wrong['WRONG_CLOCK_SECONDS']}"
    with exclusive(DatabaseServer(cluster.databases[1]), "clock"):
        waiting = cluster.start_on("worker-1", "python", "-c", HOLD, log=log, more=wrong)
        wait_for(lambda: "waits" in cluster.log(log), 60, "the other machine")
        assert "held" not in cluster.log(log)
    wait_for(lambda: "held" in cluster.log(log), 60, "the lock")
    stop_process_group(waiting, signal.SIGKILL)
