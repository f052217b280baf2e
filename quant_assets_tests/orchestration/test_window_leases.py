"""The leases of a run's newest windows, in the data folder and in a database."""

from __future__ import annotations

import threading
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pandas as pd
import psycopg2
import pytest

from quant_assets.common.settings import Settings
from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.definitions import build_definitions
from quant_assets.orchestration.io_managers import DocumentIOManager, TableIOManager
from quant_assets.orchestration.job_names import REFRESH
from quant_assets.orchestration.job_runs import step_failure
from quant_assets.orchestration.run_tags import FIRST_PARTITION, LAST_PARTITION, PARTITION
from quant_assets.orchestration.scan import ScanFailed, scan_lock
from quant_assets.orchestration.window_leases import LEASED, window_leases
from quant_assets.storage.held_lock import LostLock
from quant_assets.storage.lake import Lake
from quant_assets_tests.defs.postgresql import new_database
from quant_assets_tests.world import World, environment, kept_in_memory

WINDOW = Window.of_key("2026-01-19-16:45")
NOW = WINDOW.end + timedelta(seconds=5)


@pytest.fixture
def shared(database_server: str, tmp_path: Path) -> Settings:
    """Return settings with a database."""
    return Settings.model_validate({"data_dir": tmp_path, "database_url": new_database(database_server)})


@pytest.fixture(params=["folder", "database"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    if request.param == "folder":
        return Settings(data_dir=tmp_path)
    found: Settings = request.getfixturevalue("shared")
    return found


def test_run_waits_for_the_lease_of_its_window(settings: Settings) -> None:
    tags, entered, told = {PARTITION: WINDOW.key}, threading.Event(), []

    def enter() -> None:
        with window_leases(tags, settings, NOW, lambda *report: told.append(report)):
            entered.set()

    other = threading.Thread(target=enter)
    with window_leases(tags, settings, NOW):
        other.start()
        assert not entered.wait(1.0)
    assert entered.wait(10.0)
    other.join()
    assert told == [("another run", 0, 1, f"waiting for it to write window {WINDOW.key}")]


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


def test_days_of_scans_leave_one_file_for_each_time_of_day(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    for number in range(3 * 96):
        window = Window(WINDOW.end + number * WINDOW_LENGTH)
        with window_leases({PARTITION: window.key}, settings, window.end) as held:
            assert held.windows == [window]
    assert len(list(settings.locks_dir.iterdir())) <= 96


def test_refresh_does_not_wait_for_a_lease(world: World) -> None:
    """It writes no table that is computed for a window, and may take minutes."""
    with kept_in_memory(world) as mine:
        mine.scanned("refreshed")
        settings = mine.settings("refreshed")
        with (
            mine.opened("refreshed") as instance,
            window_leases({PARTITION: mine.window.key}, settings, mine.window.end) as held,
        ):
            assert held.windows == [mine.window]
            job = build_definitions(settings).resolve_job_def(REFRESH)
            assert job.execute_in_process(instance=instance, partition_key=mine.window.key).success


def test_run_that_lost_its_lease_writes_nothing_more(shared: Settings, tmp_path: Path) -> None:
    """As on a machine that stood still for longer than a lease lasts."""
    lake = Lake(tmp_path / "lake")
    table = pd.DataFrame({"score": [1.0]})
    with window_leases({PARTITION: WINDOW.key}, shared, NOW) as leases:
        context = dg.build_output_context(asset_key=dg.AssetKey("features"), partition_key=WINDOW.key)
        TableIOManager(lake, leases).handle_output(context, {WINDOW.key: table})
        execute(shared, "UPDATE quant_assets.locks SET until_ms = 0")
        with pytest.raises(LostLock, match=WINDOW.key):
            TableIOManager(lake, leases).handle_output(context, {WINDOW.key: table * 2})
        with pytest.raises(LostLock, match=WINDOW.key):
            DocumentIOManager(lake, leases).handle_output(context, {WINDOW.key: b"{}"})
    pd.testing.assert_frame_equal(lake.read(["features"], WINDOW.key), table)


def test_run_that_lost_its_lease_does_not_publish(world: World, database_server: str) -> None:
    """Its lease has ended when the feed is made; the feed of another run stands."""
    url = new_database(database_server)
    with kept_in_memory(world) as mine, environment(QUANT_DATABASE_URL=url):
        mine.scan("lost", database_url=url)
        settings = mine.settings("lost", database_url=url)
        settings.feed_path.write_bytes(b"the feed of another run")
        execute(settings, LEASES_END_AT_ONCE)
        with mine.opened("lost") as instance:
            result = (
                build_definitions(settings)
                .resolve_implicit_global_asset_job_def()
                .execute_in_process(
                    instance=instance,
                    asset_selection=[dg.AssetKey("master_feed")],
                    partition_key=mine.window.key,
                    raise_on_error=False,
                )
            )
    assert not result.success
    assert mine.window.key in step_failure(result)[0]
    assert settings.feed_path.read_bytes() == b"the feed of another run"


def test_command_that_lost_its_lock_fails(shared: Settings) -> None:
    def ignore(*_: object) -> None:
        pass

    with pytest.raises(ScanFailed, match="another scan may have written"), scan_lock(shared, ignore):
        execute(shared, "UPDATE quant_assets.locks SET until_ms = 0")


#: Each lease that is written from now on has ended already.
LEASES_END_AT_ONCE = """
CREATE FUNCTION end_at_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.until_ms = 0; RETURN NEW; END $$;
CREATE TRIGGER end_at_once BEFORE INSERT OR UPDATE ON quant_assets.locks
FOR EACH ROW WHEN (NEW.name LIKE '%window %') EXECUTE FUNCTION end_at_once();
"""


def execute(settings: Settings, statement: str) -> None:
    assert settings.database_url is not None
    address = settings.database_url.get_secret_value()
    with closing(psycopg2.connect(address)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)
