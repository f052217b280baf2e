"""The schedules: which window they request, when, with which time limit, and which ticks they skip."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest
from dagster._utils.schedules import cron_string_iterator

from quant_assets.common.clock import Clock
from quant_assets.common.sliding_minute import SlidingMinute
from quant_assets.defs.derivatives.refreshes import refresh_until_the_next_scan
from quant_assets.defs.maintenance import prune_every_night
from quant_assets.defs.scans import scan_every_quarter_hour
from quant_assets.orchestration.exchange_source import ExchangeSource
from quant_assets.orchestration.run_requests import SCAN_SECONDS
from quant_assets.storage.lake import Lake

TICK = datetime(2026, 1, 19, 17, 0, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a data folder into whose lake candles have been read."""
    Lake(tmp_path / "lake").write(["candles"], None, pd.DataFrame())
    return tmp_path


def evaluate(schedule: dg.ScheduleDefinition, tick: datetime, folder: Path, late: timedelta = timedelta()) -> object:
    every = {
        "clock": Clock(seconds=(tick + late).timestamp),
        "lake": Lake(folder / "lake"),
        "exchange_source": ExchangeSource(data_dir=str(folder)),
    }
    resources = {name: every[name] for name in schedule.required_resource_keys}
    return schedule(dg.build_schedule_context(scheduled_execution_time=tick, resources=resources))


def test_schedule_scans_the_window_that_has_just_closed(folder: Path) -> None:
    request = evaluate(scan_every_quarter_hour, TICK, folder)
    assert isinstance(request, dg.RunRequest)
    assert request.partition_key == "2026-01-19-16:45"
    # The feed does not wait for requests.
    assert request.run_config["ops"]["derivatives"]["config"]["max_wait_seconds"] == SCAN_SECONDS
    again = evaluate(scan_every_quarter_hour, TICK, folder)
    assert isinstance(again, dg.RunRequest)
    assert again.run_key == request.run_key


def test_scan_of_a_window_with_exchanges_waits_for_their_bars(folder: Path) -> None:
    (folder / "exchanges.toml").write_text('exchanges = ["BYBIT"]\n')
    skipped = evaluate(scan_every_quarter_hour, TICK, folder)
    assert isinstance(skipped, dg.SkipReason)
    assert "fetched_bars" in str(skipped.skip_message)
    (folder / "exchanges.toml").write_text("exchanges = 7\n")  # which each fetch reports
    assert isinstance(evaluate(scan_every_quarter_hour, TICK, folder), dg.RunRequest)


def test_refreshes_fill_the_window_and_end_before_the_next_one(folder: Path) -> None:
    ticks = cron_string_iterator(TICK.timestamp(), str(refresh_until_the_next_scan.cron_schedule), "UTC")
    turns = [next(ticks) for _ in range(6)]
    keys, ends = [], []
    for turn in turns:
        request = evaluate(refresh_until_the_next_scan, turn, folder)
        assert isinstance(request, dg.RunRequest)
        keys.append(request.partition_key)
        seconds = request.run_config["ops"]["derivatives"]["config"]["max_wait_seconds"]
        ends.append(turn + timedelta(seconds=seconds))
    assert keys == ["2026-01-19-16:45"] * 3 + ["2026-01-19-17:00"] * 3
    assert [(end - turn).total_seconds() >= 60 for turn, end in zip(turns, ends, strict=True)] == [True] * 6
    scans = [TICK + n * timedelta(minutes=15) for n in (1, 2)]
    for end, following in zip(ends, [*turns[1:3], scans[0], *turns[4:6], scans[1]], strict=True):
        assert timedelta(seconds=10) < following - end < timedelta(seconds=60)


@pytest.mark.parametrize(("scan_after", "min_share"), [(1, 0.99), (20, 0.99), (30, 0.98)])
def test_scan_and_refreshes_leave_few_calls_unused(folder: Path, scan_after: int, min_share: float) -> None:
    """Of 40 calls a minute, requests of 20 symbols that take 0.1 s use nearly all."""
    budget, now, calls = SlidingMinute(40), TICK.timestamp(), 0
    ticks = cron_string_iterator(TICK.timestamp(), str(refresh_until_the_next_scan.cron_schedule), "UTC")
    for number in range(8):
        scan = TICK + number * timedelta(minutes=15)
        turns = [(scan.timestamp() + scan_after, SCAN_SECONDS)]
        for turn in (next(ticks) for _ in range(3)):
            request = evaluate(refresh_until_the_next_scan, turn, folder)
            assert isinstance(request, dg.RunRequest)
            seconds = request.run_config["ops"]["derivatives"]["config"]["max_wait_seconds"]
            turns.append((turn.timestamp(), seconds))
        for begin, seconds in turns:
            now = max(now, begin)
            while (sent := budget.earliest(20, round(now * 1e6)) / 1e6) <= begin + seconds:
                now = sent + 0.1
                budget.spend(20, round(now * 1e6))
                calls += 20
    assert calls >= min_share * 40 * 15 * 8


@pytest.mark.parametrize(
    ("schedule", "minute", "lasts"),
    [
        (scan_every_quarter_hour, 0, 15),
        (refresh_until_the_next_scan, 1, 2),
        (refresh_until_the_next_scan, 3, 5),
        (refresh_until_the_next_scan, 8, 7),
    ],
)
def test_late_tick_is_skipped_and_left_to_the_backfill(
    schedule: dg.ScheduleDefinition, minute: int, lasts: int, folder: Path
) -> None:
    tick = TICK.replace(minute=minute)
    in_time = evaluate(schedule, tick, folder, timedelta(minutes=lasts, seconds=-1))
    assert isinstance(in_time, dg.RunRequest)
    too_late = evaluate(schedule, tick, folder, timedelta(minutes=lasts))
    assert isinstance(too_late, dg.SkipReason)
    assert "backfill" in str(too_late.skip_message)


def test_refresh_is_skipped_before_the_first_scan(tmp_path: Path) -> None:
    skipped = evaluate(refresh_until_the_next_scan, TICK.replace(minute=2), tmp_path)
    assert isinstance(skipped, dg.SkipReason)
    assert "scan" in str(skipped.skip_message)


def test_scheduled_runs_have_priority_and_a_maximum_runtime(folder: Path) -> None:
    request = evaluate(scan_every_quarter_hour, TICK, folder)
    assert isinstance(request, dg.RunRequest)
    assert int(request.tags["dagster/priority"]) > 5
    assert 60 < int(request.tags["dagster/max_runtime"]) < 600


def test_prune_runs_once_a_night(folder: Path) -> None:
    request = evaluate(prune_every_night, TICK, folder)
    assert isinstance(request, dg.RunRequest)
    assert request.run_key == "prune 2026-01-19"
