"""The job that refreshes the derivatives of a window, and the schedule that starts it until the next scan.

A late tick is skipped: its window is filled by a backfill (quant_assets/orchestration/conditions.py).
"""

from datetime import timedelta
from typing import Final

import dagster as dg

from quant_assets.common.clock import Clock
from quant_assets.common.windows import Window
from quant_assets.orchestration.job_names import REFRESH
from quant_assets.orchestration.run_requests import run_request, skip_if_late
from quant_assets.storage.lake import Lake

#: Minutes after a window's end at which a refresh begins. Several short refreshes update the feed as data arrive, start
#: with the most valuable data, and leave the provider free for other runs in between.
REFRESH_MINUTES: Final = (1, 3, 8)
#: A refresh ends this long before the next one begins, so that signals and feed can be updated in between. A minute's
#: calls are sent together, as soon as those of the last minute count no more. After a scan that sends its calls at most
#: 30 s after the window's end, no refresh ends between such moments, and no call is lost.
REFRESH_MARGIN_SECONDS: Final = 25.0
#: The last refresh ends this long before the next scan, which would wait for it.
SCAN_MARGIN_SECONDS: Final = 15.0

#: Signals and feed follow by their automation conditions.
refresh_job = dg.define_asset_job(
    REFRESH,
    selection=dg.AssetSelection.groups("derivatives"),
    description="Continue the refresh of a window's derivatives.",
)

_TICKS: Final = ",".join(str(quarter + minute) for quarter in (0, 15, 30, 45) for minute in REFRESH_MINUTES)


@dg.schedule(
    job=refresh_job,
    cron_schedule=f"{_TICKS} * * * *",
    execution_timezone="UTC",
    description="One, three and eight minutes after a scan: continue the refresh of its window.",
)
def refresh_until_the_next_scan(
    context: dg.ScheduleEvaluationContext, clock: dg.ResourceParam[Clock], lake: dg.ResourceParam[Lake]
) -> dg.RunRequest | dg.SkipReason:
    """Request a refresh of the last complete window; skip it before the first scan, which finds the markets."""
    if not lake.has(["candles"]):
        return dg.SkipReason("no candles have been read yet; the first scan reads them")
    tick = context.scheduled_execution_time
    minute = tick.minute % 15
    following = next((later for later in REFRESH_MINUTES if later > minute), None)
    duration = timedelta(minutes=(15 if following is None else following) - minute)
    seconds = duration.total_seconds() - (SCAN_MARGIN_SECONDS if following is None else REFRESH_MARGIN_SECONDS)
    return skip_if_late(tick, duration, clock) or run_request(Window.last_complete(tick), f"refresh {minute}", seconds)
