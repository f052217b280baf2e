"""Request a run of one window, from schedules and sensors."""

from datetime import datetime, timedelta
from typing import Any, Final

import dagster as dg

from quant_assets.common.clock import Clock
from quant_assets.common.windows import Window
from quant_assets.orchestration.run_tags import MAX_RUNTIME, PRIORITY

#: A run is ended if it takes this much longer than its time for requests, so that a hanging run blocks no other.
GRACE_SECONDS: Final = 180
#: Above the windows of a backfill.
SCHEDULED_PRIORITY: Final = "10"
#: The time of a scan for requests. It sends what the budget allows by then, and does not wait longer. The calls of the
#: minute after a window's end would be lost otherwise, since the first refresh begins after it.
SCAN_SECONDS: Final = 5.0


def run_request(
    window: Window, trigger: str, max_wait_seconds: float | None, job_name: str | None = None
) -> dg.RunRequest:
    """Return the request for a run of one window; without `max_wait_seconds` the run spends no call."""
    ops: dict[str, Any] = {}
    if max_wait_seconds is not None:
        ops["derivatives"] = {"config": {"max_wait_seconds": max_wait_seconds}}
    return dg.RunRequest(
        run_key=f"{trigger} {window.key}",
        job_name=job_name,
        partition_key=window.key,
        tags={
            PRIORITY: SCHEDULED_PRIORITY,
            MAX_RUNTIME: str(int(max_wait_seconds or 0) + GRACE_SECONDS),
        },
        run_config=dg.RunConfig(ops=ops),
    )


def skip_if_late(
    tick: datetime, duration: timedelta, clock: Clock, consequence: str = "its window is filled by a backfill"
) -> dg.SkipReason | None:
    """Return a SkipReason if the next tick, `duration` after this one, has come already, else None."""
    if clock.now() < tick + duration:
        return None
    return dg.SkipReason(f"the tick of {tick:%H:%M} UTC is too late; {consequence}")
