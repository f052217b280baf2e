"""What runs by itself: which window, how often, and what is left alone."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from quant_assets.defs.automation import (
    market_list_every_day,
    new_candles,
    refresh_every_quarter_hour,
    scan_every_quarter_hour,
)
from quant_assets.defs.resources import CandleFolder
from quant_assets_tests.world import World

TICK = datetime(2026, 1, 19, 17, 0, tzinfo=UTC)


def test_each_quarter_hour_scans_the_window_that_has_just_closed_and_then_refreshes_it() -> None:
    for schedule, moment in (
        (scan_every_quarter_hour, TICK),
        (refresh_every_quarter_hour, TICK.replace(minute=1)),
    ):
        request = schedule(dg.build_schedule_context(scheduled_execution_time=moment))
        assert isinstance(request, dg.RunRequest)
        assert request.partition_key == "2026-01-19-16:45"
        again = schedule(dg.build_schedule_context(scheduled_execution_time=moment))
        assert again.run_key == request.run_key


def test_nothing_runs_by_itself_until_it_is_turned_on() -> None:
    for schedule in (scan_every_quarter_hour, refresh_every_quarter_hour, market_list_every_day):
        assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
    assert new_candles.default_status is dg.DefaultSensorStatus.STOPPED


def test_the_market_list_is_fetched_before_it_is_a_day_old(world: World) -> None:
    world.scan("automation")
    from quant_assets.definitions import build_definitions  # noqa: PLC0415

    resources = build_definitions(world.settings("automation")).resources
    assert resources is not None

    def tick(hours: float) -> object:
        moment = datetime.fromtimestamp(time.time() + hours * 3600, UTC)
        return market_list_every_day(
            dg.build_schedule_context(
                scheduled_execution_time=moment,
                resources={"lake": resources["lake"], "coinalyze": resources["coinalyze"]},
            )
        )

    assert isinstance(tick(0), dg.SkipReason)
    assert isinstance(tick(22), dg.SkipReason)
    assert isinstance(tick(23.1), dg.RunRequest)


@pytest.mark.parametrize("age_seconds", [0, 60])
def test_new_candles_are_scanned_once_they_are_complete(tmp_path: Path, age_seconds: int) -> None:
    file = tmp_path / "BINANCE_BTCUSDT_15m.json"
    file.write_text("[]")
    moment = time.time() - age_seconds
    os.utime(file, (moment, moment))

    def look(cursor: str | None) -> tuple[object, str | None]:
        context = dg.build_sensor_context(cursor=cursor, resources={"candle_folder": CandleFolder(path=str(tmp_path))})
        return new_candles(context), context.cursor

    first, cursor = look(None)
    if age_seconds < 20:
        assert isinstance(first, dg.SkipReason)
        return
    assert isinstance(first, dg.RunRequest)
    second, _ = look(cursor)
    assert isinstance(second, dg.SkipReason)


def test_a_candle_folder_that_is_not_there_is_skipped(tmp_path: Path) -> None:
    context = dg.build_sensor_context(resources={"candle_folder": CandleFolder(path=str(tmp_path / "none"))})
    assert isinstance(new_candles(context), dg.SkipReason)
