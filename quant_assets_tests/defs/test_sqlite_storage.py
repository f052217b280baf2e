"""Connections to Dagster's records that stay open: nothing is recorded otherwise, and nothing is held for ever."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
from dagster._core.events import EngineEventData
from dagster._core.storage.event_log import SqliteEventLogStorage

from quant_assets.common.settings import Settings
from quant_assets.defs.sqlite_storage import MAX_OPEN, KeptEventLog, KeptSqliteStorage
from quant_assets.orchestration.instance import open_instance
from quant_assets.orchestration.run_records import remove_runs
from quant_assets_tests.defs.live import wait_for
from quant_assets_tests.world import environment

ANOTHER_PROCESS = """
import sys
from pathlib import Path
from quant_assets_tests.defs.test_sqlite_storage import materialize_thing, opened
with opened(Path(sys.argv[1])) as instance:
    for _ in range(int(sys.argv[2])):
        materialize_thing(instance)
"""


A_PROCESS_THAT_GOES_ON = """
import sys
from pathlib import Path
from quant_assets_tests.defs.test_sqlite_storage import opened, report
with opened(Path(sys.argv[1])) as instance:
    for _ in range(3):
        report(instance, sys.argv[2])
    sys.stdin.read()
"""


@dg.asset(check_specs=[dg.AssetCheckSpec("sound", asset="thing")])
def thing() -> Iterator[dg.MaterializeResult[None]]:
    """Something to record."""
    yield dg.MaterializeResult(
        metadata={"number": 7}, check_results=[dg.AssetCheckResult(check_name="sound", passed=True)]
    )


@contextmanager
def opened(folder: Path) -> Iterator[dg.DagsterInstance]:
    """Open the instance as the command line does."""
    with environment(DAGSTER_HOME=str(folder / "dagster")), open_instance(Settings(data_dir=folder)) as instance:
        yield instance


def materialize_thing(instance: dg.DagsterInstance) -> str:
    """Leave the records of a run; returns its id."""
    return dg.materialize([thing], instance=instance).run_id


def report(instance: dg.DagsterInstance, run_id: str) -> None:
    """Leave one more event of a run."""
    event = dg.DagsterEvent("ENGINE_EVENT", "job", message="one more", event_specific_data=EngineEventData())
    instance.report_dagster_event(event, run_id)


def open_databases() -> set[str]:
    """Return the names of the databases that this process has open."""
    links = list(Path("/proc/self/fd").iterdir())
    return {link.readlink().name for link in links if link.is_symlink() and ".db" in link.readlink().name}


def test_command_line_keeps_connections_open(tmp_path: Path) -> None:
    with opened(tmp_path) as instance:
        assert isinstance(instance.event_log_storage, KeptEventLog)
        run = materialize_thing(instance)
        assert {f"{run}.db", "index.db", "runs.db"} <= open_databases()


def test_dagsters_own_storage_reads_the_records(tmp_path: Path) -> None:
    with opened(tmp_path) as instance:
        run = materialize_thing(instance)
        recorded = [entry.event_log_entry for entry in instance.get_records_for_run(run).records]
    assert {entry.dagster_event_type for entry in recorded} >= {
        dg.DagsterEventType.ASSET_MATERIALIZATION,
        dg.DagsterEventType.ASSET_CHECK_EVALUATION,
        dg.DagsterEventType.RUN_SUCCESS,
    }
    home = tmp_path / "dagster"
    settings = (home / "dagster.yaml").read_text()
    (home / "dagster.yaml").write_text(settings[: settings.index("\nstorage:")])
    with opened(tmp_path) as instance:
        assert type(instance.event_log_storage) is SqliteEventLogStorage
        assert [entry.event_log_entry for entry in instance.get_records_for_run(run).records] == recorded
        assert instance.get_run_by_id(run).status is dg.DagsterRunStatus.SUCCESS  # type: ignore[union-attr]
        latest = instance.get_latest_materialization_event(dg.AssetKey("thing"))
        assert latest is not None
        assert latest.run_id == run


def test_open_databases_are_limited_and_closed_at_the_end(tmp_path: Path) -> None:
    before = open_databases()
    with opened(tmp_path) as instance:
        runs = [materialize_thing(instance) for _ in range(MAX_OPEN + 3)]
        of_runs = {name.removesuffix(".db") for name in open_databases()} & set(runs)
        assert runs[-1] in of_runs
        assert len(of_runs) < MAX_OPEN
        for run in runs:  # what was let go is opened again
            assert instance.get_records_for_run(run).records
    assert open_databases() == before


def test_records_removed_by_another_process_are_gone(tmp_path: Path) -> None:
    with opened(tmp_path) as reader, opened(tmp_path) as pruner:
        run, other = materialize_thing(reader), materialize_thing(reader)
        assert reader.get_records_for_run(run).records
        assert remove_runs(pruner, datetime.now(UTC) + timedelta(days=1)) == 2
        assert reader.get_run_by_id(run) is None
        assert reader.get_records_for_run(run).records == []
        assert reader.get_records_for_run(other).records == []
        assert materialize_thing(reader)


def test_watched_run_follows_events_of_another_process(tmp_path: Path) -> None:
    """As the page of a run in the UI follows it: after it has read what there is."""
    with opened(tmp_path) as instance:
        run = materialize_thing(instance)
        had = len(instance.get_records_for_run(run).records)
        heard: list[str] = []
        instance.watch_event_logs(
            run, instance.get_records_for_run(run).cursor, lambda entry, _: heard.append(str(entry))
        )
        with subprocess.Popen(
            [sys.executable, "-c", A_PROCESS_THAT_GOES_ON, str(tmp_path), run], stdin=subprocess.PIPE, text=True
        ) as program:
            wait_for(lambda: len(heard) == 3, 60, "events of another process, which is still there")
            assert program.poll() is None
            program.communicate()
        assert program.returncode == 0
        assert len(instance.get_records_for_run(run).records) == had + 3


def test_recreated_database_is_written_to(tmp_path: Path) -> None:
    with opened(tmp_path) as one, opened(tmp_path) as other:
        run = materialize_thing(one)
        assert remove_runs(other, datetime.now(UTC) + timedelta(days=1)) == 1
        for instance in (other, one, other):
            report(instance, run)
        with opened(tmp_path) as anew:
            for instance in (one, other, anew):
                assert len(instance.get_records_for_run(run).records) == 3


def test_recreated_history_folder_is_read(tmp_path: Path) -> None:
    with opened(tmp_path) as one:
        materialize_thing(one)
        shutil.rmtree(tmp_path / "dagster" / "history")
        with opened(tmp_path) as other:
            run = materialize_thing(other)
            for instance in (one, other):
                assert [each.run_id for each in instance.get_runs()] == [run]
            materialize_thing(one)
            assert len(other.get_runs()) == len(one.get_runs()) == 2


def test_threads_read_and_record_concurrently(tmp_path: Path) -> None:
    with opened(tmp_path) as instance:
        runs = [materialize_thing(instance) for _ in range(MAX_OPEN + 1)]
        expected = len(instance.get_records_for_run(runs[0]).records)

        def read_and_record(number: int) -> None:
            for turn in range(10):
                instance.report_runless_asset_event(dg.AssetMaterialization("other", metadata={"turn": turn}))
                run = runs[(number + turn) % len(runs)]
                assert len(instance.get_records_for_run(run).records) == expected
                assert instance.get_run_by_id(run) is not None

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(read_and_record, range(4)))
        assert len(instance.fetch_materializations(dg.AssetKey("other"), limit=99).records) == 40


def test_processes_record_concurrently(tmp_path: Path) -> None:
    with opened(tmp_path) as instance:
        programs = [
            subprocess.Popen([sys.executable, "-c", ANOTHER_PROCESS, str(tmp_path), "3"], stderr=subprocess.DEVNULL)
            for _ in range(2)
        ]
        mine = [materialize_thing(instance) for _ in range(3)]
        assert [program.wait(60) for program in programs] == [0, 0]
        assert len(mine) == 3
        assert len(instance.get_runs()) == 9
        assert len(instance.fetch_materializations(dg.AssetKey("thing"), limit=20).records) == 9


def test_records_are_in_dagsters_own_files(tmp_path: Path) -> None:
    KeptSqliteStorage.from_config_value(None, {"base_dir": str(tmp_path / "kept")}).dispose()
    (tmp_path / "own").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "own")):
        pass
    kept, own = (
        {file.relative_to(tmp_path / name).as_posix() for file in (tmp_path / name).rglob("*.db")}
        for name in ("kept", "own")
    )
    assert kept == own
