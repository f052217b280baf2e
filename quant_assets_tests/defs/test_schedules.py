"""What the clock asks for: which window, how often, for how long, and which ticks are passed over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._utils.schedules import cron_string_iterator

from quant_assets.clock import Clock
from quant_assets.defs.schedules import prune_every_night, refresh_until_the_next_scan, scan_every_quarter_hour

TICK = datetime(2026, 1, 19, 17, 0, tzinfo=UTC)


def evaluate(schedule: dg.ScheduleDefinition, tick: datetime, late: timedelta = timedelta()) -> object:
    clock = Clock(seconds=(tick + late).timestamp)
    return schedule(dg.build_schedule_context(scheduled_execution_time=tick, resources={"clock": clock}))


def test_each_quarter_hour_scans_the_window_that_has_just_closed() -> None:
    request = evaluate(scan_every_quarter_hour, TICK)
    assert isinstance(request, dg.RunRequest)
    assert request.partition_key == "2026-01-19-16:45"
    again = evaluate(scan_every_quarter_hour, TICK)
    assert isinstance(again, dg.RunRequest)
    assert again.run_key == request.run_key


def test_refreshes_fill_the_window_and_none_reaches_into_the_next_turn() -> None:
    ticks = cron_string_iterator(TICK.timestamp(), str(refresh_until_the_next_scan.cron_schedule), "UTC")
    turns = [next(ticks) for _ in range(6)]
    keys, ends = [], []
    for turn in turns:
        request = evaluate(refresh_until_the_next_scan, turn)
        assert isinstance(request, dg.RunRequest)
        keys.append(request.partition_key)
        seconds = request.run_config["ops"]["derivatives"]["config"]["max_wait_seconds"]
        ends.append(turn + timedelta(seconds=seconds))
    assert keys == ["2026-01-19-16:45"] * 3 + ["2026-01-19-17:00"] * 3
    scans = [TICK + n * timedelta(minutes=15) for n in (1, 2)]
    for end, following in zip(ends, [*turns[1:3], scans[0], *turns[4:6], scans[1]], strict=True):
        assert timedelta(seconds=10) < following - end < timedelta(seconds=60)


@pytest.mark.parametrize(
    ("schedule", "minute", "lasts"),
    [
        (scan_every_quarter_hour, 0, 15),
        (refresh_until_the_next_scan, 2, 4),
        (refresh_until_the_next_scan, 6, 4),
        (refresh_until_the_next_scan, 10, 5),
    ],
)
def test_a_tick_whose_turn_has_passed_is_left_to_the_backfill_of_the_gap(
    schedule: dg.ScheduleDefinition, minute: int, lasts: int
) -> None:
    tick = TICK.replace(minute=minute)
    in_time = evaluate(schedule, tick, timedelta(minutes=lasts, seconds=-1))
    assert isinstance(in_time, dg.RunRequest)
    too_late = evaluate(schedule, tick, timedelta(minutes=lasts))
    assert isinstance(too_late, dg.SkipReason)
    assert "backfill" in str(too_late.skip_message)


def test_runs_by_the_clock_go_before_a_backfill_and_are_ended_when_they_hang() -> None:
    request = evaluate(scan_every_quarter_hour, TICK)
    assert isinstance(request, dg.RunRequest)
    assert int(request.tags["dagster/priority"]) > 5
    assert 60 < int(request.tags["dagster/max_runtime"]) < 600


def test_what_is_too_old_is_removed_once_a_night() -> None:
    request = evaluate(prune_every_night, TICK)
    assert isinstance(request, dg.RunRequest)
    assert request.run_key == "prune 2026-01-19"
