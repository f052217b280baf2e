"""Whether the newest window of an asset is there in time, and what is said where it is not.

A freshness policy of Dagster counts from the last materialization of any window, so a backfill of old windows makes a
stale asset look fresh. That is why the lake is asked here which window is the newest. Who looks, and when: the sensor
`tell_of_stale_assets` (quant_assets/defs/alerts.py), and `master_feed` when it is made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final, TypedDict

import dagster as dg

from quant_assets.common.windows import LENGTH, Window
from quant_assets.orchestration.checks import Evaluated, WindowResult, window_check, window_results
from quant_assets.storage.lake import Lake

#: A window's scan has so long, before anybody is told that its window is missing.
STALE_FOR_SECONDS: Final = 180.0
#: The newest window may have ended so long ago: the next one has to pass, and then has its grace.
MAX_AGE: Final = LENGTH + timedelta(seconds=STALE_FOR_SECONDS)
#: How far back windows are looked for.
LOOK_BACK: Final = timedelta(days=1)

FEED: Final = "master_feed"
CHECK: Final = "newest_window"
CHECK_SPEC: Final = window_check(
    FEED, CHECK, "The newest window ended at most 18 minutes ago: one window and three minutes. Backfills do not count."
)


class CheckFields(TypedDict):
    """What a result of the check has, whoever gives it."""

    asset_key: dg.AssetKey
    check_name: str
    passed: bool
    severity: dg.AssetCheckSeverity
    metadata: dict[str, str | dg.TimestampMetadataValue]


def newest_window(lake: Lake, key: Sequence[str], now: datetime, known: Window | None = None) -> Window | None:
    """Return the newest window of an asset that has ended by `now` and is in the lake, None where there is none.

    Window keys are tried backwards for a day, or to a window that is `known` to have been there.
    """
    last = Window.last_complete(now)
    for back in range(LOOK_BACK // LENGTH):
        window = Window(last.end - back * LENGTH)
        if window == known or lake.has(key, window.key):
            return window
    return known if known is not None and known < last else None


def is_in_time(newest: Window, now: datetime) -> bool:
    """Tell whether no window after the newest one is overdue."""
    return now - newest.end <= MAX_AGE


def describe_missing(newest: Window) -> str:
    """Say which window is the newest, since when the next one is missing, and what to look at."""
    following = Window(newest.end + LENGTH)
    return (
        f"The newest window is {newest.key}, which ended at {_utc(newest.end)}; {following.key} has been missing since "
        f"{_utc(following.end)}. In Dagster, look at the runs of {following.key}, at whether the daemon runs, and at "
        "whether scan_every_quarter_hour is turned on."
    )


def check_fields(newest: Window | None, now: datetime) -> CheckFields:
    """Return the result of the check `newest_window` of the feed, whose newest window this is."""
    passed = newest is not None and is_in_time(newest, now)
    metadata: dict[str, str | dg.TimestampMetadataValue] = {
        "newest_window": "none in the last 24 hours" if newest is None else newest.key
    }
    if newest is not None and not passed:
        metadata["missing_since"] = dg.MetadataValue.timestamp(newest.end + LENGTH)
    return {
        "asset_key": dg.AssetKey(FEED),
        "check_name": CHECK,
        "passed": passed,
        "severity": dg.AssetCheckSeverity.WARN,
        "metadata": metadata,
    }


def check_results(context: dg.AssetExecutionContext, lake: Lake, now: datetime) -> Iterator[Evaluated]:
    """Give the results when `master_feed` has been written: the same for each window of the run."""
    found = check_fields(newest_window(lake, [FEED], now), now)
    result = WindowResult(found["passed"], found["metadata"])
    yield from window_results(context, CHECK_SPEC, dict.fromkeys(context.partition_keys, result), found["severity"])


def _utc(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
