"""What starts a scan: the jobs, the clock at every quarter hour, new candle files, and data that were refreshed.

All of these start stopped, since they spend the budget of a key. A tick that comes too late is passed over: what it
would have made is a gap, which is filled as one backfill (quant_assets/orchestration/conditions.py).
"""

import json
import os
from hashlib import blake2b
from pathlib import Path
from typing import Final

import dagster as dg

from quant_assets.common.clock import Clock
from quant_assets.common.windows import LENGTH, Window
from quant_assets.derivatives.datasets import DATASETS
from quant_assets.orchestration.job_names import ANALYSE, SCAN
from quant_assets.orchestration.project import Project
from quant_assets.orchestration.resources import CandleFolder
from quant_assets.orchestration.run_requests import passed_over, run_request
from quant_assets.storage.lake import Lake

#: A folder counts as complete when nothing in it has changed for so long.
QUIET_SECONDS: Final = 20.0
#: A scan for new candles asks for so long where nobody has asked for its window, in case no schedule does.
ASKING_SECONDS: Final = 40.0

_WITHOUT_CALLS: Final = dg.AssetSelection.groups("candles", "signals", "feed") | dg.AssetSelection.assets("symbol_map")

scan_job = dg.define_asset_job(
    SCAN,
    selection=_WITHOUT_CALLS | dg.AssetSelection.groups("derivatives"),
    description="Scan one window: candles, symbol map, derivatives, features, signals, feed.",
)

analyse_job = dg.define_asset_job(
    ANALYSE,
    selection=_WITHOUT_CALLS,
    description="Scan one window with the derivatives that are known: candles, symbol map, features, signals, feed.",
)

#: Follows refreshed data, fills gaps, keeps map and list fresh, as the assets' conditions say.
keep_up = dg.AutomationConditionSensorDefinition(
    "keep_up",
    target=dg.AssetSelection.all(),
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.STOPPED,
    # After the clock's runs, before a backfill by hand; ended when it hangs, or is a lost one that nobody runs.
    run_tags={"dagster/priority": "5", "dagster/max_runtime": "600"},
    description="Brings signals and feed up to date after a refresh, fills gaps, and keeps map and market list fresh.",
)


@dg.schedule(
    job=scan_job,
    cron_schedule="*/15 * * * *",
    execution_timezone="UTC",
    description="At every quarter hour: scan the window that has just closed, at once, on what is known.",
)
def scan_every_quarter_hour(
    context: dg.ScheduleEvaluationContext, clock: dg.ResourceParam[Clock]
) -> dg.RunRequest | dg.SkipReason:
    """Ask for a scan of the window that ended at this tick."""
    tick = context.scheduled_execution_time
    return passed_over(tick, LENGTH, clock) or run_request(Window.last_complete(tick), "scan", 0.0)


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
    request = run_request(window, f"candles {found}", None if asked else ASKING_SECONDS)
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


def build(_: Project) -> dg.Definitions:
    """Return the jobs that scan, and what asks for them."""
    return dg.Definitions(
        jobs=[scan_job, analyse_job], schedules=[scan_every_quarter_hour], sensors=[keep_up, new_candles]
    )
