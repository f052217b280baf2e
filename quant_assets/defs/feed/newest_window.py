"""The check `newest_window`: whether the newest window of the feed is recent.

A freshness policy of Dagster counts from the last materialization of any window, so a backfill of old windows makes a
stale asset look fresh. This check looks for the newest window in the lake instead. The asset `master_feed` reports it,
and so does the sensor `tell_of_stale_assets` (quant_assets/defs/alerts.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final, TypedDict

import dagster as dg

from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.orchestration.checks import CheckEvent, WindowCheckResult, window_check_results, window_check_spec
from quant_assets.storage.lake import Lake

#: The time that the scan of a window may take before the window counts as missing.
STALE_GRACE_SECONDS: Final = 180.0
#: The age at which the newest window is stale: the length of the next window, and its grace.
MAX_AGE: Final = WINDOW_LENGTH + timedelta(seconds=STALE_GRACE_SECONDS)
#: The time for which older windows are looked for.
LOOK_BACK: Final = timedelta(days=1)

FEED: Final = "master_feed"
CHECK: Final = "newest_window"
CHECK_SPEC: Final = window_check_spec(
    FEED, CHECK, "The newest window ended at most 18 minutes ago: one window and three minutes. Backfills do not count."
)


class CheckFields(TypedDict):
    """The fields of a result of the check, for a run and for the sensor."""

    asset_key: dg.AssetKey
    check_name: str
    passed: bool
    severity: dg.AssetCheckSeverity
    metadata: dict[str, str | dg.TimestampMetadataValue]


def newest_window(lake: Lake, key: Sequence[str], now: datetime, known: Window | None = None) -> Window | None:
    """Return the newest window of an asset that has ended by `now` and is in the lake, None if there is none.

    This tries window keys backwards for a day, or down to a window that is `known` to have been in the lake.
    """
    last = Window.last_complete(now)
    for back in range(LOOK_BACK // WINDOW_LENGTH):
        window = Window(last.end - back * WINDOW_LENGTH)
        if window == known or lake.has(key, window.key):
            return window
    return known if known is not None and known < last else None


def is_in_time(newest: Window, now: datetime) -> bool:
    """Tell whether the newest window is recent enough."""
    return now - newest.end <= MAX_AGE


def describe_missing(newest: Window) -> str:
    """Return which window is the newest, since when the next one is missing, and what to check."""
    following = Window(newest.end + WINDOW_LENGTH)
    return (
        f"The newest window is {newest.key}, which ended at {_utc(newest.end)}; {following.key} has been missing since "
        f"{_utc(following.end)}. In Dagster, check the runs of {following.key}, that the daemon is running, and that "
        "the schedule scan_every_quarter_hour is on; for candles of exchanges, that the schedule "
        "fetch_every_quarter_hour and the sensor fetched_bars are on."
    )


def check_fields(newest: Window | None, now: datetime) -> CheckFields:
    """Return the fields of the check's result for the feed's newest window."""
    passed = newest is not None and is_in_time(newest, now)
    metadata: dict[str, str | dg.TimestampMetadataValue] = {
        "newest_window": "none in the last 24 hours" if newest is None else newest.key
    }
    if newest is not None and not passed:
        metadata["missing_since"] = dg.MetadataValue.timestamp(newest.end + WINDOW_LENGTH)
    return {
        "asset_key": dg.AssetKey(FEED),
        "check_name": CHECK,
        "passed": passed,
        "severity": dg.AssetCheckSeverity.WARN,
        "metadata": metadata,
    }


def check_results(context: dg.AssetExecutionContext, lake: Lake, now: datetime) -> Iterator[CheckEvent]:
    """Yield the check's result after `master_feed` was written, the same for each window of the run."""
    found = check_fields(newest_window(lake, [FEED], now), now)
    result = WindowCheckResult(found["passed"], found["metadata"])
    yield from window_check_results(
        context, CHECK_SPEC, dict.fromkeys(context.partition_keys, result), found["severity"]
    )


def _utc(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
