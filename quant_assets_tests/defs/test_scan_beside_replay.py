"""A scan that is requested while a backfill runs, on machines with a database."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import dagster as dg
import orjson
import pandas as pd
import psycopg2
import pytest

from quant_assets.common.settings import Settings
from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.orchestration.io_managers import DocumentIOManager, TableIOManager
from quant_assets.orchestration.run_tags import FIRST_PARTITION, LAST_PARTITION, PARTITION
from quant_assets.orchestration.scan import ScanFailed, scan_lock
from quant_assets.orchestration.window_leases import LEASED, window_leases
from quant_assets.storage.held_lock import LostLock
from quant_assets.storage.lake import Lake
from quant_assets_tests.defs.measure_scan_beside_replay import SideBySide, installation, side_by_side, waited
from quant_assets_tests.defs.postgresql import new_database

WINDOW = Window.of_key("2026-01-19-16:45")
#: In one run of the backfill, which takes several times as long as a scan.
WINDOWS = 64
NOW = WINDOW.end + timedelta(seconds=5)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SideBySide, bytes, str]]:
    folder = tmp_path_factory.mktemp("beside")
    with installation(folder, markets=10, windows_per_run=WINDOWS) as (world, live):
        yield side_by_side(world, live, WINDOWS, scans=1), world.settings().feed_path.read_bytes(), world.window.key


@pytest.mark.system
def test_scan_does_not_wait_for_a_backfill(found: tuple[SideBySide, bytes, str]) -> None:
    """It starts and ends while one run of the backfill goes on, and its feed stands."""
    runs, feed, newest = found
    (replay,), scan = runs.replay, runs.beside[0]
    assert scan["status"] == "SUCCESS"
    assert replay["startTime"] < scan["startTime"]
    assert scan["endTime"] < replay["endTime"]
    assert waited(scan) < (replay["endTime"] - replay["startTime"]) / 2
    assert orjson.loads(feed)["window"] == newest


@pytest.fixture
def settings(database_server: str, tmp_path: Path) -> Settings:
    return Settings.model_validate({"data_dir": tmp_path, "database_url": new_database(database_server)})


def test_run_waits_for_the_lease_of_its_window(settings: Settings) -> None:
    tags, entered = {PARTITION: WINDOW.key}, threading.Event()

    def enter() -> None:
        with window_leases(tags, settings, NOW):
            entered.set()

    other = threading.Thread(target=enter)
    with window_leases(tags, settings, NOW):
        other.start()
        assert not entered.wait(1.0)
    assert entered.wait(10.0)
    other.join()


def test_runs_of_two_windows_do_not_wait_for_each_other(settings: Settings) -> None:
    other = {PARTITION: Window(WINDOW.end - WINDOW_LENGTH).key}
    with window_leases({PARTITION: WINDOW.key}, settings, NOW), window_leases(other, settings, NOW) as held:
        assert len(held.windows) == 1


def test_only_the_newest_windows_of_a_backfill_are_leased(settings: Settings) -> None:
    first = Window(WINDOW.end - 95 * WINDOW_LENGTH)
    with window_leases({FIRST_PARTITION: first.key, LAST_PARTITION: WINDOW.key}, settings, NOW) as held:
        assert held.windows[-1] == WINDOW
        assert held.windows[0].end == WINDOW.end - LEASED
        assert len(held.windows) == len(held.locks) == 9
    old = Window(WINDOW.end - 20 * WINDOW_LENGTH)
    with window_leases({FIRST_PARTITION: first.key, LAST_PARTITION: old.key}, settings, NOW) as held:
        assert held.windows == held.locks == []
    with window_leases({}, settings, NOW) as held:
        assert held.windows == held.locks == []


def test_run_that_lost_its_lease_writes_nothing_more(settings: Settings, tmp_path: Path) -> None:
    """As on a machine that stood still for longer than a lease lasts."""
    lake = Lake(tmp_path / "lake")
    table = pd.DataFrame({"score": [1.0]})
    with window_leases({PARTITION: WINDOW.key}, settings, NOW) as leases:
        context = dg.build_output_context(asset_key=dg.AssetKey("features"), partition_key=WINDOW.key)
        TableIOManager(lake, leases).handle_output(context, {WINDOW.key: table})
        end_all_locks(settings)
        with pytest.raises(LostLock, match=WINDOW.key):
            TableIOManager(lake, leases).handle_output(context, {WINDOW.key: table * 2})
        with pytest.raises(LostLock, match=WINDOW.key):
            DocumentIOManager(lake, leases).handle_output(context, {WINDOW.key: b"{}"})
    pd.testing.assert_frame_equal(lake.read(["features"], WINDOW.key), table)


def test_command_that_lost_its_lock_fails(settings: Settings) -> None:
    def ignore(*_: object) -> None:
        pass

    with pytest.raises(ScanFailed, match="another scan may have written"), scan_lock(settings, ignore):
        end_all_locks(settings)


def end_all_locks(settings: Settings) -> None:
    assert settings.database_url is not None
    address = settings.database_url.get_secret_value()
    with closing(psycopg2.connect(address)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("UPDATE quant_assets.locks SET until_ms = 0")
