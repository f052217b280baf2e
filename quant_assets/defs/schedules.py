"""What the clock asks for: a scan at every quarter hour, refreshes until the next one, and removing what is old.

A tick that comes too late is passed over: what it would have made is a gap, which is filled as one backfill
(conditions.py). All schedules start stopped, since they spend the budget of a key or remove data.
"""

from datetime import datetime, timedelta
from typing import Final

import dagster as dg

from quant_assets.common.clock import Clock
from quant_assets.common.windows import LENGTH, Window
from quant_assets.defs.jobs import prune_job, refresh_job, scan_job
from quant_assets.storage.lake import Lake

#: Minutes of a window at which a refresh begins. Several short ones bring the feed up to date as data arrive, the first
#: of them soon with what is worth most, and let whatever else needs the provider in between.
REFRESH_MINUTES: Final = (1, 3, 8)
#: A refresh ends so long before the next one begins: time for signals and feed to follow it, since runs of one window
#: take turns. The budget's minute slides on meanwhile, so that no call is lost.
MARGIN_SECONDS: Final = 45.0
#: The last one ends so long before the next scan, which would wait for it.
BEFORE_A_SCAN_SECONDS: Final = 15.0
#: Nothing waits behind a run that hangs for longer than this beyond its time.
GRACE_SECONDS: Final = 180
#: Before the windows of a backfill.
FIRST: Final = "10"


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
    return _too_late(tick, LENGTH, clock) or run_of(Window.last_complete(tick), "scan", 0.0)


_TICKS: Final = ",".join(str(quarter + minute) for quarter in (0, 15, 30, 45) for minute in REFRESH_MINUTES)


@dg.schedule(
    job=refresh_job,
    cron_schedule=f"{_TICKS} * * * *",
    execution_timezone="UTC",
    description="One, three and eight minutes later: ask for that window, until shortly before the next turn.",
)
def refresh_until_the_next_scan(
    context: dg.ScheduleEvaluationContext, clock: dg.ResourceParam[Clock], lake: dg.ResourceParam[Lake]
) -> dg.RunRequest | dg.SkipReason:
    """Ask for a refresh of the window that has ended before this tick, once a scan has said for which markets."""
    if not lake.path(["candles"]).exists():
        return dg.SkipReason("no candles have been read yet; the first scan does that")
    tick = context.scheduled_execution_time
    minute = tick.minute % 15
    following = next((later for later in REFRESH_MINUTES if later > minute), None)
    lasts = timedelta(minutes=(15 if following is None else following) - minute)
    seconds = lasts.total_seconds() - (BEFORE_A_SCAN_SECONDS if following is None else MARGIN_SECONDS)
    return _too_late(tick, lasts, clock) or run_of(Window.last_complete(tick), f"refresh {minute}", seconds)


@dg.schedule(
    job=prune_job,
    cron_schedule="37 3 * * *",
    execution_timezone="UTC",
    description="Every night: remove windows, bars and run records that are older than data/retention.toml says.",
)
def prune_every_night(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Ask for the removal of what is too old."""
    return dg.RunRequest(run_key=f"prune {context.scheduled_execution_time:%Y-%m-%d}")


def run_of(window: Window, why: str, max_wait_seconds: float | None) -> dg.RunRequest:
    """Return the request for a run about one window; without seconds the run asks the provider nothing."""
    asking = {} if max_wait_seconds is None else {"derivatives": {"config": {"max_wait_seconds": max_wait_seconds}}}
    return dg.RunRequest(
        run_key=f"{why} {window.key}",
        partition_key=window.key,
        tags={
            "dagster/priority": FIRST,
            "dagster/max_runtime": str(int(max_wait_seconds or 0) + GRACE_SECONDS),
        },
        run_config={"ops": asking},
    )


def _too_late(tick: datetime, lasts: timedelta, clock: Clock) -> dg.SkipReason | None:
    """Return why a tick is passed over, None where it is not: the next one of its kind has come."""
    if clock.now() < tick + lasts:
        return None
    return dg.SkipReason(f"the turn of {tick:%H:%M} UTC has passed; the gap is filled as one backfill")
