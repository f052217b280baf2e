"""Requests for a run about one window, for schedules and sensors alike."""

from datetime import datetime, timedelta
from typing import Final

import dagster as dg

from quant_assets.common.clock import Clock
from quant_assets.common.windows import Window

#: Nothing waits behind a run that hangs for longer than this beyond its time.
GRACE_SECONDS: Final = 180
#: Before the windows of a backfill.
FIRST: Final = "10"


def run_request(window: Window, why: str, max_wait_seconds: float | None) -> dg.RunRequest:
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


def passed_over(tick: datetime, lasts: timedelta, clock: Clock) -> dg.SkipReason | None:
    """Return why a tick is passed over, None where it is not: the next one of its kind has come."""
    if clock.now() < tick + lasts:
        return None
    return dg.SkipReason(f"the turn of {tick:%H:%M} UTC has passed; the gap is filled as one backfill")
