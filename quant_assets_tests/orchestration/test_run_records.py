"""What the retention of runs removes from a real instance, and what Dagster keeps."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from quant_assets.common.settings import Settings
from quant_assets.orchestration.instance import open_instance
from quant_assets.orchestration.run_records import remove_runs
from quant_assets_tests.defs.live import ROOT
from quant_assets_tests.orchestration.test_instance_config import thing
from quant_assets_tests.world import environment

LATER = timedelta(days=1)


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """Open the instance as the command line does."""
    with environment(DAGSTER_HOME=None), open_instance(Settings(data_dir=tmp_path)) as opened:
        yield opened


def event_files(instance: dg.DagsterInstance) -> set[str]:
    """Return the names of the SQLite files of runs."""
    return {file.name for file in (Path(instance.root_directory) / "history" / "runs").iterdir()} - {"index.db"}


def materialize(instance: dg.DagsterInstance, run_id: str | None = None) -> str:
    job = dg.Definitions(assets=[thing]).resolve_implicit_global_asset_job_def()
    return job.execute_in_process(instance=instance, run_id=run_id).run_id


def test_dagster_keeps_the_file_of_a_removed_run(instance: dg.DagsterInstance) -> None:
    """If this fails, Dagster removes the file itself or keeps it elsewhere: adapt `_remove_event_file`."""
    run_id = materialize(instance)
    file = Path(instance.root_directory) / "history" / "runs" / f"{run_id}.db"
    before = file.stat().st_size
    instance.delete_run(run_id)
    assert file.stat().st_size >= before > 50_000


def test_removed_runs_leave_no_file_and_no_run(instance: dg.DagsterInstance) -> None:
    removed = [materialize(instance) for _ in range(3)]
    assert {f"{run_id}.db" for run_id in removed} <= event_files(instance)
    assert remove_runs(instance, datetime.now(UTC) + LATER) == 3
    assert event_files(instance) == set()
    assert instance.get_runs() == []
    kept = materialize(instance)
    assert remove_runs(instance, datetime.now(UTC) - LATER) == 0
    assert event_files(instance) == {f"{kept}.db"}
    assert instance.get_records_for_run(kept).records


@pytest.mark.parametrize("run_id", ["index", "runs/../../kept", "C8AD8FBD-0320-40EF-B823-323DA5875EA0"])
def test_only_a_file_named_by_a_run_id_is_removed(instance: dg.DagsterInstance, run_id: str) -> None:
    history = Path(instance.root_directory) / "history" / "runs"
    (history / "runs").mkdir()
    file = history / f"{run_id}.db"
    file.touch()
    instance.add_run(dg.DagsterRun(job_name="job", run_id=run_id, status=dg.DagsterRunStatus.SUCCESS))
    assert remove_runs(instance, datetime.now(UTC) + LATER) == 1
    assert file.exists()


def test_only_check_results_stay_behind(instance: dg.DagsterInstance) -> None:
    """Dagster has no public way to remove check results, as docs/disk.md says; each asset has one last event."""
    run_id = materialize(instance)
    remove_runs(instance, datetime.now(UTC) + LATER)
    found: dict[str, int] = {}
    for file in Path(instance.root_directory).rglob("*.db"):
        with closing(sqlite3.connect(file)) as database:
            for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                rows = database.execute(f'SELECT * FROM "{table}"').fetchall()
                found[table] = sum(run_id in map(str, row) for row in rows)
    assert {table: rows for table, rows in found.items() if rows} == {"asset_check_executions": 1, "asset_keys": 1}


def test_documented_statement_removes_old_check_results(instance: dg.DagsterInstance) -> None:
    (statement,) = re.findall(r'"(DELETE FROM .*;)"', (ROOT / "docs" / "disk.md").read_text())
    materialize(instance)
    index = Path(instance.root_directory) / "history" / "runs" / "index.db"
    left = []
    for age in ("-14 days", "+1 day"):
        with closing(sqlite3.connect(index)) as database:
            database.executescript(statement.replace("-14 days", age))
            left += database.execute("SELECT COUNT(*) FROM asset_check_executions").fetchone()
    assert left == [1, 0]
    assert materialize(instance)


def test_another_process_can_go_on_after_a_run_is_removed(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    with environment(DAGSTER_HOME=None), open_instance(Settings(data_dir=tmp_path)) as other:
        run_id, kept = materialize(other), materialize(other)
        assert other.get_records_for_run(run_id).records
        instance.delete_run(kept)
        remove_runs(instance, datetime.now(UTC) + LATER)
        assert other.get_run_by_id(run_id) is None
        assert other.get_runs() == []
        assert materialize(other)
