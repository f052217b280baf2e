"""What the clock asks for: which window, how often, for how long, and which ticks are passed over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest
from dagster._utils.schedules import cron_string_iterator

from quant_assets.common.clock import Clock
from quant_assets.defs.derivatives.refreshes import refresh_until_the_next_scan
from quant_assets.defs.maintenance import prune_every_night
from quant_assets.defs.scans import scan_every_quarter_hour
from quant_assets.storage.lake import Lake

TICK = datetime(2026, 1, 19, 17, 0, tzinfo=UTC)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Return a lake into which candles have been read."""
    lake = Lake(tmp_path)
    lake.write(["candles"], None, pd.DataFrame())
    return lake


def evaluate(schedule: dg.ScheduleDefinition, tick: datetime, lake: Lake, late: timedelta = timedelta()) -> object:
    resources = {"clock": Clock(seconds=(tick + late).timestamp), "lake": lake}
    return schedule(dg.build_schedule_context(scheduled_execution_time=tick, resources=resources))


def test_each_quarter_hour_scans_the_window_that_has_just_closed(lake: Lake) -> None:
    request = evaluate(scan_every_quarter_hour, TICK, lake)
    assert isinstance(request, dg.RunRequest)
    assert request.partition_key == "2026-01-19-16:45"
    # The feed does not wait for the budget: what is known by then is what it says.
    assert request.run_config["ops"]["derivatives"]["config"]["max_wait_seconds"] == 0
    again = evaluate(scan_every_quarter_hour, TICK, lake)
    assert isinstance(again, dg.RunRequest)
    assert again.run_key == request.run_key


def test_refreshes_fill_the_window_and_none_reaches_into_the_next_turn(lake: Lake) -> None:
    ticks = cron_string_iterator(TICK.timestamp(), str(refresh_until_the_next_scan.cron_schedule), "UTC")
    turns = [next(ticks) for _ in range(6)]
    keys, ends = [], []
    for turn in turns:
        request = evaluate(refresh_until_the_next_scan, turn, lake)
        assert isinstance(request, dg.RunRequest)
        keys.append(request.partition_key)
        seconds = request.run_config["ops"]["derivatives"]["config"]["max_wait_seconds"]
        ends.append(turn + timedelta(seconds=seconds))
    assert keys == ["2026-01-19-16:45"] * 3 + ["2026-01-19-17:00"] * 3
    assert [(end - turn).total_seconds() >= 60 for turn, end in zip(turns, ends, strict=True)] == [True] * 6
    scans = [TICK + n * timedelta(minutes=15) for n in (1, 2)]
    for end, following in zip(ends, [*turns[1:3], scans[0], *turns[4:6], scans[1]], strict=True):
        assert timedelta(seconds=10) < following - end < timedelta(seconds=60)


@pytest.mark.parametrize(
    ("schedule", "minute", "lasts"),
    [
        (scan_every_quarter_hour, 0, 15),
        (refresh_until_the_next_scan, 1, 2),
        (refresh_until_the_next_scan, 3, 5),
        (refresh_until_the_next_scan, 8, 7),
    ],
)
def test_a_tick_whose_turn_has_passed_is_left_to_the_backfill_of_the_gap(
    schedule: dg.ScheduleDefinition, minute: int, lasts: int, lake: Lake
) -> None:
    tick = TICK.replace(minute=minute)
    in_time = evaluate(schedule, tick, lake, timedelta(minutes=lasts, seconds=-1))
    assert isinstance(in_time, dg.RunRequest)
    too_late = evaluate(schedule, tick, lake, timedelta(minutes=lasts))
    assert isinstance(too_late, dg.SkipReason)
    assert "backfill" in str(too_late.skip_message)


def test_nothing_is_refreshed_before_a_first_scan_has_said_for_which_markets(tmp_path: Path) -> None:
    skipped = evaluate(refresh_until_the_next_scan, TICK.replace(minute=2), Lake(tmp_path))
    assert isinstance(skipped, dg.SkipReason)
    assert "scan" in str(skipped.skip_message)


def test_runs_by_the_clock_go_before_a_backfill_and_are_ended_when_they_hang(lake: Lake) -> None:
    request = evaluate(scan_every_quarter_hour, TICK, lake)
    assert isinstance(request, dg.RunRequest)
    assert int(request.tags["dagster/priority"]) > 5
    assert 60 < int(request.tags["dagster/max_runtime"]) < 600


def test_what_is_too_old_is_removed_once_a_night(lake: Lake) -> None:
    request = evaluate(prune_every_night, TICK, lake)
    assert isinstance(request, dg.RunRequest)
    assert request.run_key == "prune 2026-01-19"
