"""The jobs that scan a window, and what starts them: the schedule, new candle files, and refreshed data.

Schedule and sensors are off by default, since runs that they start may spend the call budget of a key. A late tick is
skipped: its window is filled by a backfill (quant_assets/orchestration/conditions.py).
"""

import json
import os
from hashlib import blake2b
from pathlib import Path
from typing import Final

import dagster as dg

from quant_assets.common.clock import Clock
from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.derivatives.datasets import DATASETS
from quant_assets.orchestration.exchange_source import ExchangeSource
from quant_assets.orchestration.job_names import ANALYSE, SCAN
from quant_assets.orchestration.project import Project
from quant_assets.orchestration.resources import CandleFolder
from quant_assets.orchestration.run_requests import SCAN_SECONDS, run_request, skip_if_late
from quant_assets.orchestration.run_tags import MAX_RUNTIME, PRIORITY
from quant_assets.storage.lake import Lake

#: The candle folder is complete when nothing in it has changed for this time.
QUIET_SECONDS: Final = 20.0
#: The time limit for requests of a scan that new candles start, if its window was not refreshed yet.
REFRESH_SECONDS: Final = 40.0

_GROUPS: Final = dg.AssetSelection.groups("candles", "signals", "record", "feed")
_OFFLINE_ASSETS: Final = _GROUPS | dg.AssetSelection.assets("symbol_map")

scan_job = dg.define_asset_job(
    SCAN,
    selection=_OFFLINE_ASSETS | dg.AssetSelection.groups("derivatives"),
    description="Scan one window: candles, watchlist, symbol map, derivatives, features, signals, trades, feed.",
)

analyse_job = dg.define_asset_job(
    ANALYSE,
    selection=_OFFLINE_ASSETS,
    description="Scan one window with the stored derivatives: candles to signals, trades, track record, feed.",
)

automation = dg.AutomationConditionSensorDefinition(
    "keep_up",
    target=dg.AssetSelection.all(),
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.STOPPED,
    # Below scheduled runs and above manual backfills; ended after ten minutes, since a lost run holds its pool.
    run_tags={PRIORITY: "5", MAX_RUNTIME: "600"},
    description="Updates signals and feed after a refresh, backfills missing windows, and keeps map and list fresh.",
)


@dg.schedule(
    job=scan_job,
    cron_schedule="*/15 * * * *",
    execution_timezone="UTC",
    description=(
        "Every quarter hour: scan the window that has just closed, with the derivatives that are stored or can be "
        "requested at once. Where exchanges.toml names exchanges, the sensor fetched_bars does that."
    ),
)
def scan_every_quarter_hour(
    context: dg.ScheduleEvaluationContext, exchange_source: ExchangeSource, clock: dg.ResourceParam[Clock]
) -> dg.RunRequest | dg.SkipReason:
    """Request a scan of the window that ended at this tick. Leave it to `fetched_bars` if exchanges are fetched."""
    tick = context.scheduled_execution_time
    if exchange_source.chosen_exchanges():
        return dg.SkipReason("exchanges.toml names exchanges: the sensor fetched_bars scans when their bars are there")
    return skip_if_late(tick, WINDOW_LENGTH, clock) or run_request(Window.last_complete(tick), "scan", SCAN_SECONDS)


@dg.sensor(
    jobs=[scan_job, analyse_job],
    minimum_interval_seconds=10,
    description="When candle files have changed and then not changed for 20 seconds: scan the last window.",
)
def new_candles(
    context: dg.SensorEvaluationContext,
    candle_folder: CandleFolder,
    lake: dg.ResourceParam[Lake],
    clock: dg.ResourceParam[Clock],
) -> dg.RunRequest | dg.SkipReason:
    """Request a scan of the last window if the candle folder has changed since the last scan and is complete.

    If the window's derivatives are stored already, request the job `analyse`, which spends no call.
    """
    folder = Path(candle_folder.path)
    if not folder.is_dir():
        return dg.SkipReason(f"Folder not found: {folder}")
    found, now = _folder_digest(folder), clock.seconds()
    cursor = json.loads(context.cursor or "{}")
    if found == cursor.get("scanned", ""):
        return dg.SkipReason("no candle file has changed")
    if found != cursor.get("found"):
        context.update_cursor(json.dumps({**cursor, "found": found, "since": now}))
        return dg.SkipReason("candle files have changed; waiting until the folder is complete")
    if abs(now - cursor["since"]) < QUIET_SECONDS:  # abs: the clock may have been set back
        return dg.SkipReason("waiting until the folder is complete")
    context.update_cursor(json.dumps({"scanned": found}))
    window = Window.last_complete(clock.now())
    is_refreshed = all(lake.has([dataset], window.key) for dataset in DATASETS)
    trigger = f"candles {found}"
    if is_refreshed:
        return run_request(window, trigger, None, analyse_job.name)
    return run_request(window, trigger, REFRESH_SECONDS, scan_job.name)


def _folder_digest(folder: Path) -> str:
    """Return a digest of the names, sizes and times of the candle files, "" if there is none."""
    digest, any_file = blake2b(digest_size=8), False
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if not entry.name.endswith(".json"):
                continue
            try:
                stat = entry.stat()
            except OSError:  # removed since the folder was listed, or a broken link
                continue
            digest.update(f"{entry.name}/{stat.st_size}/{stat.st_mtime_ns}/".encode(errors="surrogateescape"))
            any_file = True
    return digest.hexdigest() if any_file else ""


def build(_: Project) -> dg.Definitions:
    """Return the jobs that scan, with their schedule and sensors."""
    return dg.Definitions(
        jobs=[scan_job, analyse_job], schedules=[scan_every_quarter_hour], sensors=[automation, new_candles]
    )
