"""When things run by themselves: schedules by the clock, a sensor for new candles.

Here: when, and for which window. Not here: what a run does (jobs.py). All of them start stopped, since each spends
the budget of a key: they are turned on in the UI, under Automation.
"""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg

from quant_assets.defs.jobs import market_list_job, refresh_job, scan_job
from quant_assets.defs.resources import CandleFolder, Coinalyze
from quant_assets.lake import Lake
from quant_assets.windows import LENGTH, Window

#: A scan by the clock publishes within the first minute; the refresh goes on from there.
SCAN_SECONDS = 40.0
#: The list is fetched anew before its 24 hours are over, so that a failure has an hour to mend.
LIST_AGE = timedelta(hours=23)
#: A folder counts as complete when nothing in it has changed for so long.
QUIET_SECONDS = 20.0


@dg.schedule(
    job=scan_job,
    cron_schedule="*/15 * * * *",
    execution_timezone="UTC",
    description="At every quarter hour: scan the window that has just closed, with 40 seconds of asking.",
)
def scan_every_quarter_hour(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Ask for a scan of the window that ended at this tick."""
    return _run_of(Window.last_complete(context.scheduled_execution_time), "scan", SCAN_SECONDS)


@dg.schedule(
    job=refresh_job,
    cron_schedule="1-59/15 * * * *",
    execution_timezone="UTC",
    description="A minute after: go on refreshing that window for as long as it lasts, and bring its feed up to date.",
)
def refresh_every_quarter_hour(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Ask for the refresh of the window that has ended before this tick."""
    return _run_of(Window.last_complete(context.scheduled_execution_time), "refresh", LENGTH.total_seconds())


@dg.schedule(
    job=market_list_job,
    cron_schedule="7 * * * *",
    execution_timezone="UTC",
    description="Every hour: fetch the market list if it is 23 hours old or missing; so it never gets older than 24.",
)
def market_list_every_day(
    context: dg.ScheduleEvaluationContext, lake: dg.ResourceParam[Lake], coinalyze: Coinalyze
) -> dg.RunRequest | dg.SkipReason:
    """Ask for the market list where it is due."""
    moment = context.scheduled_execution_time
    market_list = lake.read_sound(["coinalyze_markets"])
    if market_list is not None and len(market_list) and market_list["provider"].iloc[0] == coinalyze.provider:
        fetched_at = datetime.fromtimestamp(float(market_list["fetched_at_ms"].max()) / 1000, UTC)
        if moment - fetched_at < LIST_AGE:
            return dg.SkipReason(f"the list was fetched at {fetched_at:%Y-%m-%d %H:%M} UTC")
    return dg.RunRequest(run_key=f"market_list {moment:%Y-%m-%d %H}")


@dg.sensor(
    job=scan_job,
    minimum_interval_seconds=15,
    description="When candle files have changed and 20 quiet seconds have passed: scan the last window.",
)
def new_candles(context: dg.SensorEvaluationContext, candle_folder: CandleFolder) -> dg.RunRequest | dg.SkipReason:
    """Ask for a scan of the last window where the candle folder has changed since the last time."""
    folder = Path(candle_folder.path)
    if not folder.is_dir():
        return dg.SkipReason(f"there is no folder {folder}")
    changed_ns = max((entry.stat().st_mtime_ns for entry in folder.glob("*.json")), default=0)
    if str(changed_ns) == (context.cursor or "0"):
        return dg.SkipReason("no candle file has changed")
    if time.time() - changed_ns / 1e9 < QUIET_SECONDS:
        return dg.SkipReason("candle files are still being written")
    context.update_cursor(str(changed_ns))
    window = Window.last_complete(datetime.fromtimestamp(time.time(), UTC))
    return _run_of(window, f"candles {changed_ns}", SCAN_SECONDS)


def _run_of(window: Window, why: str, max_wait_seconds: float) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"{why} {window.key}",
        partition_key=window.key,
        tags={"dagster/priority": "10"},  # before the windows of a backfill
        run_config={"ops": {"derivatives": {"config": {"max_wait_seconds": max_wait_seconds}}}},
    )
