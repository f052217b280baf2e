"""Runs on workers: Celery, Redis, PostgreSQL and an object store, and no folder in common.

`make cluster-test` shows more, on machines that also have file systems and networks of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from quant_assets.emulator import Faults
from quant_assets.storage.lake import Lake
from quant_assets_tests.defs.live import wait_for
from quant_assets_tests.defs.postgresql import new_database
from quant_assets_tests.defs.redis import redis_server
from quant_assets_tests.defs.workers import (
    BROKER_PASSWORD,
    KEY,
    LAKE,
    SYMBOLS_PER_REQUEST,
    WORKERS,
    Cluster,
    Host,
    assert_equal_tables,
    old_window,
    places_with_credentials,
    published_feed,
    repeated_symbols,
    start_cluster,
    unit,
)
from quant_assets_tests.s3 import s3_server
from quant_assets_tests.world import environment, kept_in_memory, small_world

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, database_server: str) -> Iterator[Cluster]:
    with ExitStack() as stack:
        databases = new_database(database_server), new_database(database_server)
        broker = stack.enter_context(redis_server(BROKER_PASSWORD))
        objects = stack.enter_context(s3_server())
        world = stack.enter_context(small_world(tmp_path_factory.mktemp("workers"), markets=8))
        stack.enter_context(environment(**objects.environment))  # to read the lake here
        hosts = {name: Host(name) for name in ("control", *WORKERS)}
        yield start_cluster(stack, world, hosts, broker, objects, databases)


def test_scan_on_a_worker_gives_the_tables_of_a_single_machine(cluster: Cluster) -> None:
    world = cluster.world
    cluster.succeeded("market_list")
    run = cluster.succeeded("scan", world.window.key)
    assert cluster.worker_of(run) in WORKERS
    with kept_in_memory(world) as alone:
        alone.scan("alone", key=KEY)
    assert_equal_tables(Lake(world.settings("alone").lake_dir), Lake(LAKE), world.window.key)
    feed = published_feed()
    assert feed["window"] == world.window.key
    assert feed["stats"]["freshness"]["open_interest"]["fresh"] > 0


def test_restarted_broker_loses_no_run(cluster: Cluster) -> None:
    """A run in progress ends once, and the next one starts."""
    live, window = cluster.live, cluster.world.window
    running = live.launch("scan", window.key)
    wait_for(lambda: live.runs(runIds=[running], statuses=["STARTED"]), 60, "the run")
    cluster.broker.stop()
    cluster.broker.start()
    assert live.finished_run(running, 120)["status"] == "SUCCESS"
    cluster.succeeded("scan", window.key)
    assert live.runs(statuses=["FAILURE"]) == []


def test_run_of_a_killed_worker_goes_on_at_the_other_one(cluster: Cluster) -> None:
    live, world = cluster.live, cluster.world
    world.emulator.faults = Faults(slow=1.0, delay_seconds=5)
    before = len(world.emulator.accounting.accepted)
    lost = live.launch("refresh", old_window(world), max_runtime="60")
    wait_for(lambda: len(world.emulator.accounting.accepted) > before, 60, "the first request")
    killed = cluster.worker_of(lost)
    cluster.kill_worker(killed)
    world.emulator.faults = Faults()
    assert live.finished_run(lost, 90)["status"] == "FAILURE"
    retried = cluster.retry_of(lost)
    assert live.finished_run(retried, 120)["status"] == "SUCCESS"
    assert cluster.worker_of(retried) != killed
    # At most the request in flight was sent twice.
    assert repeated_symbols(world.emulator.accounting.accepted[before:]) <= SYMBOLS_PER_REQUEST


def test_run_that_failed_with_an_error_is_started_once_more(cluster: Cluster) -> None:
    """A step that writes its records while PostgreSQL restarts fails with an error."""
    cluster.objects.refuses = lambda method, path, _: method == "PUT" and "/candle_features/" in path
    try:
        failed = cluster.live.launch("analyse", cluster.world.window.key)
        assert cluster.live.finished_run(failed, 120)["status"] == "FAILURE"
    finally:
        cluster.objects.refuses = lambda *_: False
    assert cluster.live.finished_run(cluster.retry_of(failed), 120)["status"] == "SUCCESS"


def test_credentials_are_in_no_record_log_or_command_line(cluster: Cluster) -> None:
    assert places_with_credentials(cluster) == set()


def test_unit_waits_for_runs_in_progress_when_it_stops() -> None:
    service = unit()["Service"]
    assert service["KillMode"] == "mixed"  # systemd's default would kill the processes of the runs at once
    assert service["Restart"] == "always"
