"""What happenings ask for: new candle files, refreshed data, gaps, failed runs, data that are too old.

Here: sensors. The two that start runs start stopped, as the schedules do; the two that only tell are running. Not here:
what is told to whom (quant_assets/notices.py), and the conditions by which assets follow one another (conditions.py).
"""

import json
from pathlib import Path
from typing import Final

import dagster as dg

from quant_assets.clock import Clock
from quant_assets.defs.jobs import analyse_job, scan_job
from quant_assets.defs.resources import CandleFolder, Notifier
from quant_assets.defs.schedules import SCAN_SECONDS, run_of
from quant_assets.derivatives.datasets import DATASETS
from quant_assets.lake import Lake
from quant_assets.notices import Notice
from quant_assets.windows import Window

#: A folder counts as complete when nothing in it has changed for so long.
QUIET_SECONDS: Final = 20.0
KEPT_FRESH: Final = ("coinalyze_markets", "symbol_map", *DATASETS, "master_feed")

#: Follows refreshed data, fills gaps, keeps map and list fresh: the assets say when (conditions.py).
keep_up = dg.AutomationConditionSensorDefinition(
    "keep_up",
    target=dg.AssetSelection.all(),
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.STOPPED,
    run_tags={"dagster/priority": "5"},  # after the clock's runs, before a backfill by hand
    description="Brings signals and feed up to date after a refresh, fills gaps, and keeps map and market list fresh.",
)


@dg.sensor(
    jobs=[scan_job, analyse_job],
    minimum_interval_seconds=15,
    description="When candle files have changed and 20 quiet seconds have passed: scan the last window.",
)
def new_candles(
    context: dg.SensorEvaluationContext,
    candle_folder: CandleFolder,
    lake: dg.ResourceParam[Lake],
    clock: dg.ResourceParam[Clock],
) -> dg.RunRequest | dg.SkipReason:
    """Ask for a scan of the last window where the candle folder has changed since the last time.

    Where the window's derivatives have been asked for already, it is analysed anew without asking again.
    """
    folder = Path(candle_folder.path)
    if not folder.is_dir():
        return dg.SkipReason(f"there is no folder {folder}")
    changed_ns = max((entry.stat().st_mtime_ns for entry in folder.glob("*.json")), default=0)
    if str(changed_ns) == (context.cursor or "0"):
        return dg.SkipReason("no candle file has changed")
    if clock.seconds() - changed_ns / 1e9 < QUIET_SECONDS:
        return dg.SkipReason("candle files are still being written")
    context.update_cursor(str(changed_ns))
    window = Window.last_complete(clock.now())
    asked = all(lake.path([dataset], window.key).exists() for dataset in DATASETS)
    request = run_of(window, f"candles {changed_ns}", None if asked else SCAN_SECONDS)
    return request._replace(job_name=(analyse_job if asked else scan_job).name)


@dg.run_failure_sensor(
    name="tell_of_failed_runs",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Sends a notice of every run that failed: to the log, and to QUANT_WEBHOOK_URL where that is set.",
)
def tell_of_failed_runs(context: dg.RunFailureSensorContext, notifier: Notifier) -> None:
    """Send a notice of a failed run."""
    run = context.dagster_run
    steps = [
        f"{event.step_key}: {_message(event)}" for event in context.get_step_failure_events() if event.step_key
    ] or [context.failure_event.message or "failed before its first step"]
    window = run.tags.get("dagster/partition")
    subject = f"{run.job_name}{f' of window {window}' if window else ''} failed"
    notifier.send(Notice(subject, "\n".join([*steps, f"run {run.run_id}"])))


@dg.sensor(
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Sends a notice when an asset gets older than its freshness policy allows, and when that is over.",
)
def tell_of_stale_assets(context: dg.SensorEvaluationContext, notifier: Notifier) -> dg.SkipReason:
    """Send a notice for each asset whose freshness has turned."""
    keys = [dg.AssetKey(name) for name in KEPT_FRESH]
    records = context.instance.get_freshness_state_records(keys)
    failing = sorted(key.to_user_string() for key, record in records.items() if record.freshness_state.value == "FAIL")
    before = json.loads(context.cursor or "[]")
    for name in failing:
        if name not in before:
            notifier.send(Notice(f"{name} is stale", "Its newest data are older than its freshness policy allows."))
    for name in before:
        if name not in failing:
            notifier.send(Notice(f"{name} is fresh again", "Its freshness policy is kept."))
    context.update_cursor(json.dumps(failing))
    return dg.SkipReason(f"stale: {', '.join(failing) or 'nothing'}")


def _message(event: dg.DagsterEvent) -> str:
    """Return what a failed step has to say for itself."""
    data = event.step_failure_data
    if data.user_failure_data is not None and data.user_failure_data.description:
        return str(data.user_failure_data.description)
    error = data.error.cause or data.error if data.error is not None else None
    return error.message.strip() if error is not None else "failed"
