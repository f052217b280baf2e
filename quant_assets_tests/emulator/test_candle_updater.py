"""Test that the demo's candle files get each new 15-minute bar while the emulator runs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, active_count

import orjson
import pytest

from quant_assets.emulator import MARKER, CandleUpdater, SimulatedUniverse, write_candle_files
from quant_assets.emulator.candle_files import candle_file

#: Half a second before the last closed bar is written.
BEFORE = datetime(2026, 1, 19, 17, 0, 4, 500_000, tzinfo=UTC)


@pytest.fixture
def some(universe: SimulatedUniverse) -> SimulatedUniverse:
    return SimulatedUniverse(universe.listings, seed=universe.seed, scanned=universe.scanned[:3])


def running_from(moment: datetime) -> Callable[[], datetime]:
    """Return a clock that starts at this time now."""
    offset = moment - datetime.now(UTC)
    return lambda: datetime.now(UTC) + offset


def newest(folder: Path) -> int:
    return int(orjson.loads((folder / "BINANCE_BTCUSDT_15m.json").read_bytes())[-1]["time"])


def eventually(what: Callable[[], bool]) -> bool:
    """Tell whether a condition becomes true within 20 seconds."""
    latest = time.monotonic() + 20
    while not what() and time.monotonic() < latest:
        time.sleep(0.02)
    return what()


def written_at(universe: SimulatedUniverse, folder: Path, moment: datetime) -> None:
    write_candle_files(universe, folder, moment)
    os.utime(folder / MARKER, (moment.timestamp(), moment.timestamp()))


def test_next_bar_is_written_after_15_minutes(some: SimulatedUniverse, tmp_path: Path) -> None:
    written_at(some, tmp_path, BEFORE - timedelta(minutes=10))
    opened = newest(tmp_path)
    with CandleUpdater(some, tmp_path, clock=running_from(BEFORE)):
        assert eventually(lambda: newest(tmp_path) == opened + 900_000)


def test_files_without_the_last_bar_are_rewritten_at_once(some: SimulatedUniverse, tmp_path: Path) -> None:
    written_at(some, tmp_path, BEFORE - timedelta(hours=2))
    now = BEFORE + timedelta(minutes=5)
    with CandleUpdater(some, tmp_path, clock=running_from(now)):
        assert eventually(lambda: newest(tmp_path) == int(now.timestamp()) // 900 * 900_000)


def test_closed_bars_are_the_same_as_in_the_demo(some: SimulatedUniverse, tmp_path: Path) -> None:
    written_at(some, tmp_path, BEFORE - timedelta(hours=2))
    now = BEFORE + timedelta(minutes=5)
    with CandleUpdater(some, tmp_path, clock=running_from(now)):
        assert eventually(lambda: newest(tmp_path) == int(now.timestamp()) // 900 * 900_000)
    closed = orjson.loads((tmp_path / "BINANCE_BTCUSDT_15m.json").read_bytes())[:-1]
    demo = orjson.loads(candle_file(some.seed, some.scanned[0], "15m", now.timestamp()))[:-1]
    assert closed == demo


def test_fresh_files_are_not_rewritten(some: SimulatedUniverse, tmp_path: Path) -> None:
    now, looked = BEFORE + timedelta(minutes=5), Event()
    written_at(some, tmp_path, now)
    before = {path.name: path.stat().st_ino for path in tmp_path.iterdir()}
    running = running_from(now)

    def clock() -> datetime:
        looked.set()
        return running()

    with CandleUpdater(some, tmp_path, clock=clock):
        assert looked.wait(20)
    assert {path.name: path.stat().st_ino for path in tmp_path.iterdir()} == before


def test_folder_without_the_marker_is_left_unchanged(some: SimulatedUniverse, tmp_path: Path) -> None:
    written_at(some, tmp_path, BEFORE - timedelta(hours=2))
    (tmp_path / MARKER).unlink()
    opened, looked = newest(tmp_path), Event()
    running = running_from(BEFORE)

    def clock() -> datetime:
        looked.set()
        return running()

    with CandleUpdater(some, tmp_path, clock=clock):
        assert looked.wait(20)
    assert newest(tmp_path) == opened


def test_stopping_while_writing_leaves_complete_files(universe: SimulatedUniverse, tmp_path: Path) -> None:
    written_at(universe, tmp_path, BEFORE - timedelta(hours=2))
    first = tmp_path / "BINANCE_BTCUSDT_15m.json"
    before, threads = first.stat().st_ino, active_count()
    with CandleUpdater(universe, tmp_path, clock=running_from(BEFORE + timedelta(minutes=5))):
        assert eventually(lambda: first.stat().st_ino != before)
    assert active_count() == threads
    last = universe.scanned[-1]
    path = tmp_path / f"{last.exchange}_{last.symbol}_4h.json"
    assert path.read_bytes() == candle_file(universe.seed, last, "4h", (BEFORE - timedelta(hours=2)).timestamp())


def test_write_errors_are_reported(some: SimulatedUniverse, tmp_path: Path) -> None:
    written_at(some, tmp_path, BEFORE - timedelta(hours=2))
    in_the_way = tmp_path / "BINANCE_BTCUSDT_15m.json"
    in_the_way.unlink()
    in_the_way.mkdir()
    told: list[OSError] = []
    with CandleUpdater(some, tmp_path, clock=running_from(BEFORE), on_error=told.append):
        assert eventually(lambda: bool(told))
    assert "BINANCE_BTCUSDT_15m.json" in str(told[0])
