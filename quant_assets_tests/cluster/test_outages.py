"""Servers of the store that are away for a while during a run: the run waits or is retried, the next scan is whole."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import orjson
import pytest

from quant_assets.common.files import UnreachableObject
from quant_assets.emulator import Faults
from quant_assets.storage.documents import Document
from quant_assets.storage.lake import Lake
from quant_assets_tests.cluster.alone import fetch_anew, run_alone
from quant_assets_tests.cluster.conftest import Installation
from quant_assets_tests.defs.live import wait_for
from quant_assets_tests.defs.running import REPOSITORY
from quant_assets_tests.defs.workers import FEED, LAKE, Cluster, assert_equal_tables, forget_fetched, published_feed
from quant_assets_tests.s3 import BUCKET

pytestmark = pytest.mark.cluster
AWAY_SECONDS = 30.0
#: How often Dagster's daemon looks after its runs (`poll_interval_seconds` in dagster.yaml).
MONITORING_SECONDS = 10.0
TABLES = (["features"], ["candle_features"], ["signals", "legacy"])


def test_store_of_objects_that_is_away_delays_a_run(cluster: Cluster, measured: Callable[[str], None]) -> None:
    written = threading.Event()
    cluster.objects.before = lambda method, path, _: (
        written.set() if method == "PUT" and path.startswith(f"/{BUCKET}/lake/candle_features/") else None
    )
    with _only_whole_objects(cluster):
        run = cluster.live.launch("scan", cluster.world.window.key)
        assert written.wait(90)
        cluster.objects.stop()
        time.sleep(AWAY_SECONDS)
        cluster.objects.start()
        measured(f"object store away: {_succeeded_or_retried(cluster, run)}")
        _assert_next_scan_is_whole(cluster)


def test_restarted_database_delays_a_run(installation: Installation, measured: Callable[[str], None]) -> None:
    cluster = installation.cluster
    run = _running_scan(cluster)
    installation.database.stop()
    installation.database.start()
    _use_new_connections(cluster)
    measured(f"database restarted: {_succeeded_or_retried(cluster, run)}")
    _assert_next_scan_is_whole(cluster)


def test_restarted_broker_that_kept_nothing_loses_no_run(cluster: Cluster) -> None:
    """The run goes on for several checks of Dagster's daemon, which must not take it for a failed one."""
    forget_fetched(cluster)
    cluster.world.emulator.faults = Faults(slow=1.0, delay_seconds=6)
    run = _running_scan(cluster)
    cluster.broker.stop()
    cluster.broker.start()
    time.sleep(3 * MONITORING_SECONDS)
    assert cluster.live.runs(runIds=[run])[0]["status"] == "STARTED"
    cluster.world.emulator.faults = Faults()
    assert cluster.live.finished_run(run, 120)["status"] == "SUCCESS"
    _assert_next_scan_is_whole(cluster)
    assert [again for again in cluster.live.runs() if again["tags"].get("dagster/parent_run_id") == run] == []


def _running_scan(cluster: Cluster) -> str:
    """Start a scan; return its id when its process works."""
    run = cluster.live.launch("scan", cluster.world.window.key)
    wait_for(lambda: cluster.live.runs(runIds=[run], statuses=["STARTED"]), 60, "the run")
    return run


def _use_new_connections(cluster: Cluster) -> None:
    """Ask until Dagster's webserver knows that its connections are broken; it reports that once for each use."""

    def answers() -> bool:
        try:
            cluster.live.runs()
            cluster.live.materialized("features")
            cluster.live.ask(REPOSITORY)
        except AssertionError:
            return False
        return True

    wait_for(lambda: all(answers() for _ in range(3)), 60, "the webserver")


def _succeeded_or_retried(cluster: Cluster, run: str) -> str:
    """Assert that a run succeeded, or the one that Dagster started in its place; return what happened."""
    started = time.monotonic()
    status = cluster.live.finished_run(run, 240)["status"]
    if status != "SUCCESS":
        again = cluster.retry_of(run, 120)
        assert cluster.live.finished_run(again, 180)["status"] == "SUCCESS"
    return f"the run ended as {status}, and all succeeded {time.monotonic() - started:.0f} s after the outage"


def _assert_next_scan_is_whole(cluster: Cluster) -> None:
    window = cluster.world.window.key
    fetch_anew(cluster)
    cluster.succeeded("scan", window)
    assert published_feed()["window"] == window
    assert_equal_tables(run_alone(cluster.world, "scan", window), Lake(LAKE), window)


@contextmanager
def _only_whole_objects(cluster: Cluster) -> Iterator[None]:
    """Read tables and feed again and again while the block runs, and assert that each was whole or out of reach."""
    window, lake, ended = cluster.world.window.key, Lake(LAKE), threading.Event()
    broken: list[str] = []
    reads = 0

    def read_all() -> None:
        for key in TABLES:
            lake.read(key, window)
        content = Document.at(FEED).read()
        assert content is None or orjson.loads(content)["signals"]

    def read_until_ended() -> None:
        nonlocal reads
        while not ended.wait(0.2):
            try:
                read_all()
                reads += 1
            except UnreachableObject:
                continue
            except Exception as error:  # noqa: BLE001 - any other error is that of a half object
                broken.append(repr(error))

    thread = threading.Thread(target=read_until_ended)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    assert broken == []
    assert reads > 10
