"""What happenings ask for: new candle files, refreshed data, gaps, failed runs, data that are too old.

Here: sensors. The two that start runs start stopped, as the schedules do; the two that only tell are running. Not here:
what is told to whom (quant_assets/notices.py), and the conditions by which assets follow one another (conditions.py).
"""

import json
import os
from hashlib import blake2b
from pathlib import Path
from typing import Final

import dagster as dg

from quant_assets.clock import Clock
from quant_assets.defs.jobs import analyse_job, scan_job
from quant_assets.defs.resources import CandleFolder, Notifier
from quant_assets.defs.schedules import run_of
from quant_assets.derivatives.datasets import DATASETS
from quant_assets.lake import Lake
from quant_assets.notices import Notice
from quant_assets.windows import Window

#: A folder counts as complete when nothing in it has changed for so long.
QUIET_SECONDS: Final = 20.0
#: A scan for new candles asks for so long where nobody has asked for its window, in case no schedule does.
ASKING_SECONDS: Final = 40.0
#: Policy and schedule have the same length, so a feed that comes a few seconds later than the last is nobody's concern.
STALE_FOR_SECONDS: Final = 180.0
KEPT_FRESH: Final = ("coinalyze_markets", "symbol_map", *DATASETS, "master_feed")

#: Follows refreshed data, fills gaps, keeps map and list fresh: the assets say when (conditions.py).
keep_up = dg.AutomationConditionSensorDefinition(
    "keep_up",
    target=dg.AssetSelection.all(),
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.STOPPED,
    # After the clock's runs, before a backfill by hand; ended when it hangs, or is a lost one that nobody runs.
    run_tags={"dagster/priority": "5", "dagster/max_runtime": "600"},
    description="Brings signals and feed up to date after a refresh, fills gaps, and keeps map and market list fresh.",
)


@dg.sensor(
    jobs=[scan_job, analyse_job],
    minimum_interval_seconds=10,
    description="When candle files have changed and 20 quiet seconds have passed: scan the last window.",
)
def new_candles(
    context: dg.SensorEvaluationContext,
    candle_folder: CandleFolder,
    lake: dg.ResourceParam[Lake],
    clock: dg.ResourceParam[Clock],
) -> dg.RunRequest | dg.SkipReason:
    """Ask for a scan of the last window where the candle folder is another than at the last scan, and at rest.

    Where the window's derivatives have been asked for already, it is analysed anew without asking again.
    """
    folder = Path(candle_folder.path)
    if not folder.is_dir():
        return dg.SkipReason(f"there is no folder {folder}")
    found, now = _state_of(folder), clock.seconds()
    cursor = json.loads(context.cursor or "{}")
    if found == cursor.get("scanned", ""):
        return dg.SkipReason("no candle file has changed")
    if found != cursor.get("found"):
        context.update_cursor(json.dumps({**cursor, "found": found, "since": now}))
        return dg.SkipReason("candle files have changed; waiting until they are at rest")
    if abs(now - cursor["since"]) < QUIET_SECONDS:  # a clock that was set back makes nobody wait
        return dg.SkipReason("waiting until the candle files are at rest")
    context.update_cursor(json.dumps({"scanned": found}))
    window = Window.last_complete(clock.now())
    asked = all(lake.path([dataset], window.key).exists() for dataset in DATASETS)
    request = run_of(window, f"candles {found}", None if asked else ASKING_SECONDS)
    return request._replace(job_name=(analyse_job if asked else scan_job).name)


def _state_of(folder: Path) -> str:
    """Return what tells one state of the candle files from another: a digest of their names, sizes and times.

    Empty where there is no candle file.
    """
    digest, any_file = blake2b(digest_size=8), False
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if not entry.name.endswith(".json"):
                continue
            try:
                stat = entry.stat()
            except OSError:  # gone since the folder was listed, or a link that leads nowhere
                continue
            digest.update(f"{entry.name}/{stat.st_size}/{stat.st_mtime_ns}/".encode(errors="surrogateescape"))
            any_file = True
    return digest.hexdigest() if any_file else ""


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
    description="Sends a notice when an asset is older than its freshness policy allows for three minutes, and when it "
    "no longer is.",
)
def tell_of_stale_assets(
    context: dg.SensorEvaluationContext, notifier: Notifier, clock: dg.ResourceParam[Clock]
) -> dg.SkipReason:
    """Send a notice for each asset that has been stale for a while, and one when that is over."""
    keys = [dg.AssetKey(name) for name in KEPT_FRESH]
    records = context.instance.get_freshness_state_records(keys)
    failing = sorted(key.to_user_string() for key, record in records.items() if record.freshness_state.value == "FAIL")
    cursor = json.loads(context.cursor or "{}")
    since = {name: cursor.get("since", {}).get(name, clock.seconds()) for name in failing}
    told = [name for name in cursor.get("told", []) if name in failing]
    for name in cursor.get("told", []):
        if name not in failing:
            notifier.send(Notice(f"{name} is fresh again", "Its freshness policy is kept."))
    for name in failing:
        if name not in told and clock.seconds() - since[name] >= STALE_FOR_SECONDS:
            notifier.send(Notice(f"{name} is stale", "Its newest data are older than its freshness policy allows."))
            told.append(name)
    context.update_cursor(json.dumps({"since": since, "told": told}))
    return dg.SkipReason(f"stale: {', '.join(failing) or 'nothing'}")


def _message(event: dg.DagsterEvent) -> str:
    """Return what a failed step has to say for itself."""
    data = event.step_failure_data
    if data.user_failure_data is not None and data.user_failure_data.description:
        return str(data.user_failure_data.description)
    error = data.error.cause or data.error if data.error is not None else None
    return error.message.strip() if error is not None else "failed"
