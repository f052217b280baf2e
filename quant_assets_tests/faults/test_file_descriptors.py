"""A scan of hundreds of markets needs at most 200 open files, and a refresh leaves none open."""

from __future__ import annotations

import resource
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from multiprocessing.sharedctypes import RawArray, RawValue
from pathlib import Path

import orjson

from quant_assets.common.windows import Window
from quant_assets.emulator import DEFAULT_KEY, Emulator, plain_universe
from quant_assets_tests.faults.killing import run
from quant_assets_tests.faults.seeding import rounds
from quant_assets_tests.faults.workers import SharedClock, Task, count_descriptors, symbol_map_of
from quant_assets_tests.world import CALLS_PER_MINUTE, World, small_world

OPEN_FILES = 200
MARKETS = 300


def few_files() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))


def many_markets(world: World) -> Path:
    """Return a folder with 300 markets of one exchange, whose files are links to those of a small world."""
    folder = world.folder / "many"
    folder.mkdir()
    given = [sorted(world.candles.glob(f"*_{timeframe}.json")) for timeframe in ("15m", "4h")]
    for number, row in enumerate(plain_universe(MARKETS).rows):
        for files in given:
            source = files[number % len(files)]
            timeframe = source.stem.rpartition("_")[2]
            (folder / f"BINANCE_{row.symbol_on_exchange}_{timeframe}.json").hardlink_to(source)
    return folder


def test_scan_of_300_markets_needs_at_most_200_open_files(tmp_path: Path) -> None:
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


def test_refresh_of_many_requests_leaves_no_file_or_connection_open(tmp_path: Path) -> None:
    clock = SharedClock(RawValue("d", datetime(2026, 1, 19, 17, 45, 6, tzinfo=UTC).timestamp()))
    counted = RawArray("i", 2)
    with Emulator(plain_universe(60), calls_per_minute=CALLS_PER_MINUTE, clock=clock.now) as emulator:
        symbol_map, first = symbol_map_of(emulator.universe, clock.now()), Window.last_complete(clock.now())
        tasks = [
            Task(emulator.url, tmp_path, symbol_map, CALLS_PER_MINUTE, Window(first.end + timedelta(hours=hour)).key)
            for hour in range(rounds(4, 40))
        ]
        run(count_descriptors, tasks, clock, counted)
        assert emulator.accounting.requests == 12 * len(tasks)
    assert counted[0] == counted[1] > 0
