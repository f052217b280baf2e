"""Two hundred open files are enough for a scan of hundreds of markets, and a refresh leaves none open."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from datetime import UTC, datetime
from multiprocessing.sharedctypes import RawValue
from pathlib import Path

import orjson

from quant_assets.emulator import DEFAULT_KEY, Emulator, plain_universe
from quant_assets.windows import Window
from quant_assets_tests.faults.chance import rounds
from quant_assets_tests.faults.workers import SharedClock, Task, map_of, refreshed
from quant_assets_tests.world import CALLS_PER_MINUTE, World, small_world

OPEN_FILES = 200
MARKETS = 300


def few_files() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))


def many_markets(world: World) -> Path:
    """Give the candle files of a small world to three hundred markets of one exchange, under names of their own."""
    folder = world.folder / "many"
    folder.mkdir()
    given = [sorted(world.candles.glob(f"*_{timeframe}.json")) for timeframe in ("15m", "4h")]
    for number, row in enumerate(plain_universe(MARKETS).rows):
        for files in given:
            source = files[number % len(files)]
            timeframe = source.stem.rpartition("_")[2]
            (folder / f"BINANCE_{row.symbol_on_exchange}_{timeframe}.json").hardlink_to(source)
    return folder


def test_a_scan_of_three_hundred_markets_needs_no_more_than_two_hundred_open_files(tmp_path: Path) -> None:
    with (
        small_world(tmp_path, markets=12) as world,
        Emulator(plain_universe(MARKETS), calls_per_minute=CALLS_PER_MINUTE) as emulator,
    ):
        done = subprocess.run(
            [sys.executable, "-m", "quant_assets", "scan", str(many_markets(world)), "--json"],
            env={**world.environment(key=DEFAULT_KEY), "COINALYZE_BASE_URL": emulator.url},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            preexec_fn=few_files,
        )
    assert (done.returncode, done.stderr) == (0, "")
    told = orjson.loads(done.stdout)
    assert told["markets"] == MARKETS
    assert told["resolution"]["resolved"] == MARKETS
    assert told["api"]["calls"] >= MARKETS


def test_a_refresh_of_many_requests_leaves_no_file_open(tmp_path: Path) -> None:
    clock = SharedClock(RawValue("d", datetime(2026, 1, 19, 17, 45, 6, tzinfo=UTC).timestamp()))
    with Emulator(plain_universe(60), calls_per_minute=CALLS_PER_MINUTE, clock=clock.now) as emulator:
        symbol_map = map_of(emulator.universe, clock.now())
        open_files = []
        for _ in range(rounds(4, 40)):
            window = Window.last_complete(clock.now())
            task = Task(emulator.url, tmp_path, symbol_map, CALLS_PER_MINUTE, window.key)
            assert refreshed(task, clock).calls == 4 * 60
            clock.sleep(3600)
            open_files.append(our_open_files(tmp_path, emulator.url))
    assert open_files == [0] * len(open_files)


def our_open_files(folder: Path, url: str) -> int:
    """Count the files below a folder that this process has open."""
    count = 0
    for entry in Path("/proc/self/fd").iterdir():
        try:
            count += os.readlink(entry).startswith(str(folder))
        except FileNotFoundError:  # the one of this listing
            continue
    return count
