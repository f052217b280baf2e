"""The stage `maintenance`: remove old data every night, and measure the disk use of the rest."""

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from quant_assets.common.clock import Clock
from quant_assets.orchestration.exchange_source import ExchangeSource
from quant_assets.orchestration.job_names import PRUNE
from quant_assets.orchestration.project import Project
from quant_assets.orchestration.resources import Folders, Providers, Retention
from quant_assets.orchestration.run_records import remove_runs
from quant_assets.storage.lake import Lake
from quant_assets.storage.retention import prune_lake, prune_temporary_files, size_of, size_of_lake


@dg.asset(
    group_name="operations",
    kinds={"python"},
    owners=["team:quant"],
    description=(
        "Disk use of the data in bytes, after removing windows, bars of derivatives, records of runs and candles of "
        "exchanges that are older than the limits in `data/retention.toml` (30, 45, 14 and 366 days by default)."
    ),
)
def disk_use(
    context: dg.AssetExecutionContext,
    retention: Retention,
    folders: Folders,
    providers: Providers,
    exchange_source: ExchangeSource,
    lake: dg.ResourceParam[Lake],
    clock: dg.ResourceParam[Clock],
) -> dg.MaterializeResult[Any]:
    """Remove old data, and measure the rest."""
    started = time.perf_counter()
    policy, now = retention.load(), clock.now()
    before = size_of(Path(folders.data))
    removed = prune_lake(lake, now, policy) + prune_temporary_files(Path(folders.data), now)
    exchange_bars = exchange_source.store()
    removed += exchange_bars.remove_before(int((now - timedelta(days=policy.exchange_bars_days)).timestamp() * 1000))
    with providers.store() as store:
        bars = store.prune(int((now - timedelta(days=policy.bars_days)).timestamp()))
    runs = remove_runs(context.instance, now - timedelta(days=policy.runs_days))
    after = size_of(Path(folders.data))
    return dg.MaterializeResult(
        metadata={
            "freed_bytes": before - after,
            "removed_files": removed.files,
            "removed_files_bytes": removed.size,
            "removed_bars": bars,
            "removed_runs": runs,
            "bytes": after,
            "lake_bytes": size_of_lake(lake),
            "exchange_bars_bytes": exchange_bars.size(),
            "store_bytes": size_of(Path(folders.store)),
            "dagster_bytes": size_of(Path(context.instance.root_directory)),
            "windows_days": policy.windows_days,
            "bars_days": policy.bars_days,
            "exchange_bars_days": policy.exchange_bars_days,
            "runs_days": policy.runs_days,
            "seconds": time.perf_counter() - started,
        }
    )


prune_job = dg.define_asset_job(
    PRUNE,
    selection=["disk_use"],
    description="Remove windows, bars, candles and records of runs older than the limits in data/retention.toml.",
)


@dg.schedule(
    job=prune_job,
    cron_schedule="37 3 * * *",
    execution_timezone="UTC",
    description="Every night: remove what is older than the limits in data/retention.toml.",
)
def prune_every_night(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Request the removal of old data."""
    return dg.RunRequest(run_key=f"prune {context.scheduled_execution_time:%Y-%m-%d}")


def build(_: Project) -> dg.Definitions:
    """Return the asset that removes old data, its job, and its schedule."""
    return dg.Definitions(
        assets=dg.with_source_code_references([disk_use]), jobs=[prune_job], schedules=[prune_every_night]
    )
