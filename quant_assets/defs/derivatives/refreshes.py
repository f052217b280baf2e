"""Refreshing a window's derivatives after its scan: the job, and the schedule that asks for it until the next scan.

A tick that comes too late is passed over: what it would have made is a gap, which is filled as one backfill
(quant_assets/orchestration/conditions.py).
"""

from datetime import timedelta
from typing import Final

import dagster as dg

from quant_assets.common.clock import Clock
from quant_assets.common.windows import Window
from quant_assets.orchestration.job_names import REFRESH
from quant_assets.orchestration.run_requests import passed_over, run_request
from quant_assets.storage.lake import Lake

#: Minutes of a window at which a refresh begins. Several short ones bring the feed up to date as data arrive, the first
#: of them soon with what is worth most, and let whatever else needs the provider in between.
REFRESH_MINUTES: Final = (1, 3, 8)
#: A refresh ends so long before the next one begins: time for signals and feed to follow it, since runs of one window
#: take turns. The budget's minute slides on meanwhile, so that no call is lost.
MARGIN_SECONDS: Final = 45.0
#: The last one ends so long before the next scan, which would wait for it.
BEFORE_A_SCAN_SECONDS: Final = 15.0

#: What the scan had no time for. Signals and feed follow by their automation conditions.
refresh_job = dg.define_asset_job(
    REFRESH,
    selection=dg.AssetSelection.groups("derivatives"),
    description="Go on asking for a window's derivatives.",
)

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
    return passed_over(tick, lasts, clock) or run_request(Window.last_complete(tick), f"refresh {minute}", seconds)
