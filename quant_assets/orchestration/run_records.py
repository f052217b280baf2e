"""Remove Dagster's records of old runs."""

from datetime import datetime
from pathlib import Path
from typing import Final

import dagster as dg
from dagster._core.storage.event_log import SqlEventLogStorage, SqliteEventLogStorage
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable

#: Runs that are removed at a time.
BATCH_SIZE: Final = 100
FINISHED: Final = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


def remove_runs(instance: dg.DagsterInstance, limit: datetime) -> int:
    """Remove the records and logs of runs that finished before `limit`; return how many."""
    removed = 0
    while True:
        filters = dg.RunsFilter(statuses=FINISHED, updated_before=limit)
        runs = [record.dagster_run for record in instance.get_run_records(filters, limit=BATCH_SIZE)]
        for run in runs:
            instance.compute_log_manager.delete_logs(prefix=[run.run_id])
            instance.delete_run(run.run_id)
            _remove_leftovers(instance, run.run_id)
        removed += len(runs)
        if len(runs) < BATCH_SIZE:
            return removed


def _remove_leftovers(instance: dg.DagsterInstance, run_id: str) -> None:
    """Remove the check results of a run, and its SQLite file.

    Dagster keeps the check results, and deletes only the rows in the file, which frees no space.
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
