"""Remove Dagster's records of old runs."""

from datetime import datetime
from pathlib import Path
from typing import Final
from uuid import UUID

import dagster as dg

#: Runs that are removed at a time.
BATCH_SIZE: Final = 100
FINISHED: Final = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


def remove_runs(instance: dg.DagsterInstance, limit: datetime) -> int:
    """Remove the records and logs of runs that finished before `limit`; return how many.

    Dagster keeps their check results, about 2 kB each, and has no public way to remove them.
    """
    removed = 0
    while True:
        filters = dg.RunsFilter(statuses=FINISHED, updated_before=limit)
        runs = [record.dagster_run for record in instance.get_run_records(filters, limit=BATCH_SIZE)]
        for run in runs:
            instance.compute_log_manager.delete_logs(prefix=[run.run_id])
            instance.delete_run(run.run_id)
            _remove_event_file(Path(instance.root_directory), run.run_id)
        removed += len(runs)
        if len(runs) < BATCH_SIZE:
            return removed


def _remove_event_file(home: Path, run_id: str) -> None:
    """Remove the SQLite file of a run's events, which Dagster empties without freeing its space.

    Only Dagster's default storage has such files. The id of a run is a UUID; any other name is left alone.
    """
    try:
        name = str(UUID(run_id))
    except ValueError:
        return
    if name == run_id:
        for suffix in ("", "-wal", "-shm"):
            (home / "history" / "runs" / f"{name}.db{suffix}").unlink(missing_ok=True)
