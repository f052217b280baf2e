"""Dagster's records of runs that are over: removing them with everything that belongs to them."""

from datetime import datetime
from pathlib import Path
from typing import Final

import dagster as dg
from dagster._core.storage.event_log import SqlEventLogStorage, SqliteEventLogStorage
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable

#: Runs removed at a time; each takes some rows and files with it.
BATCH: Final = 100
OVER: Final = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


def remove_runs(instance: dg.DagsterInstance, limit: datetime) -> int:
    """Remove the records and logs of runs that were over before `limit`; returns how many."""
    removed = 0
    while True:
        filters = dg.RunsFilter(statuses=OVER, updated_before=limit)
        runs = [record.dagster_run for record in instance.get_run_records(filters, limit=BATCH)]
        for run in runs:
            instance.compute_log_manager.delete_logs(prefix=[run.run_id])
            instance.delete_run(run.run_id)
            _remove_what_is_left(instance, run.run_id)
        removed += len(runs)
        if len(runs) < BATCH:
            return removed


def _remove_what_is_left(instance: dg.DagsterInstance, run_id: str) -> None:
    """Remove the results of a run's checks, and where SQLite keeps a file for each run, that file.

    Dagster deletes the rows in that file alone, which frees none of it, and never the results of checks.
    """
    storage = instance.event_log_storage
    if isinstance(storage, SqlEventLogStorage):
        with storage.index_connection() as connection:
            checks = AssetCheckExecutionsTable
            connection.execute(checks.delete().where(checks.c.run_id == run_id))
    if isinstance(storage, SqliteEventLogStorage):
        file = Path(storage.path_for_shard(run_id))
        for name in (file.name, f"{file.name}-wal", f"{file.name}-shm"):
            file.with_name(name).unlink(missing_ok=True)
