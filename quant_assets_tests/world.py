"""A small simulated market for tests: its candle files, an emulator that serves it, and the settings for both."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import orjson

from quant_assets.common.settings import Settings
from quant_assets.common.windows import Window
from quant_assets.definitions import build_definitions
from quant_assets.emulator import DEFAULT_KEY, Emulator, SimulatedUniverse, simulated_universe, write_candle_files
from quant_assets.orchestration.instance import open_instance
from quant_assets.orchestration.scan import ScanResult, run_scan
from quant_assets_tests.window_ends import wait_if_window_ends_soon

CALLS_PER_MINUTE = 12_000
#: Sample data for some tests, which are skipped without it.
SAMPLE_CANDLES = Path(__file__).parents[2] / "shared" / "market_data" / "candles"


@dataclass
class World:
    """Everything that a scan needs, in one folder."""

    folder: Path
    emulator: Emulator
    candles: Path
    moment: datetime
    #: The Dagster instances in memory, by data folder, or None if they are on the disk.
    in_memory: dict[str, dg.DagsterInstance] | None = None
    #: The data folders of finished scans, to copy; shared by the worlds of one market.
    finished: Path = Path("finished")

    @property
    def window(self) -> Window:
        """Return the last window that had ended when the candles were written."""
        return Window.last_complete(self.moment)

    def settings(self, name: str = "data", **changes: Any) -> Settings:
        """Return settings with a data folder of this name."""
        given = {
            "base_url": self.emulator.url,
            "calls_per_minute": CALLS_PER_MINUTE,
            "data_dir": self.folder / name,
            "candles_dir": self.candles,
        }
        return Settings(**{**given, **changes})

    def environment(self, name: str = "data", key: str | None = DEFAULT_KEY) -> dict[str, str]:
        """Return the environment of a process with these settings."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("COINALYZE", "QUANT"))}
        kept.pop("DAGSTER_HOME", None)
        given = {
            "COINALYZE_BASE_URL": self.emulator.url,
            "COINALYZE_CALLS_PER_MINUTE": str(CALLS_PER_MINUTE),
            "QUANT_DATA_DIR": str(self.folder / name),
            "QUANT_CANDLES_DIR": str(self.candles),
        }
        return {**kept, **given, **({} if key is None else {"COINALYZE_API_KEY": key})}

    @contextmanager
    def opened(self, name: str = "data", key: str | None = DEFAULT_KEY) -> Iterator[dg.DagsterInstance]:
        """Open the Dagster instance of a data folder while the block runs, with the key in the environment."""
        settings = self.settings(name)
        with environment(COINALYZE_API_KEY=key, DAGSTER_HOME=str(settings.data_dir / "dagster")):
            if found := self._instance_in_memory(name):
                yield found
            else:
                with open_instance(settings) as instance:
                    yield instance

    def _instance_in_memory(self, name: str) -> dg.DagsterInstance | None:
        if self.in_memory is None:
            return None
        if name not in self.in_memory:
            self.settings(name).data_dir.mkdir(parents=True, exist_ok=True)
            self.in_memory[name] = dg.DagsterInstance.ephemeral(settings={"freshness": {"enabled": True}})
        return self.in_memory[name]

    def scan(
        self, name: str = "data", *, window: Window | None = None, key: str | None = DEFAULT_KEY, **changes: Any
    ) -> ScanResult:
        """Scan in this process, with changes of the settings. See window_ends.py for the time at which it starts."""
        wait_if_window_ends_soon()
        with environment(COINALYZE_API_KEY=key, DAGSTER_HOME=str(self.folder / name / "dagster")):
            settings = self.settings(name, **changes)
            return run_scan(
                settings,
                build_definitions(settings),
                self.candles,
                window or self.window,
                max_wait_seconds=60,
                exchange="",
                symbol="",
                progress=lambda *_: None,
                given=self._instance_in_memory(name),
            )

    def scanned(self, name: str) -> Path:
        """Copy a finished scan of the world's window into the data folder of this name; return its feed.

        There is one such scan for each market. It costs seconds, and a copy milliseconds.
        """
        made = self.folder / self.finished / ("on_disk" if self.in_memory is None else "in_memory")
        if not made.exists():
            self.scan(str(made))
        shutil.copytree(made, self.folder / name, dirs_exist_ok=True)
        return self.folder / name / "master_feed.json"


@contextmanager
def kept_in_memory(world: World) -> Iterator[World]:
    """Yield a world whose Dagster instances are in memory, at half the cost, for tests that start no other process."""
    with ExitStack() as stack:
        copy = replace(world, in_memory={})
        yield copy
        for instance in (copy.in_memory or {}).values():
            stack.enter_context(instance)


@contextmanager
def environment(**changes: str | None) -> Iterator[None]:
    """Set environment variables while the block runs; None removes a variable."""
    before = {name: os.environ.get(name) for name in changes}
    try:
        for name, value in changes.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@contextmanager
def small_world(folder: Path, markets: int = 24) -> Iterator[World]:
    """Make a world of about `markets` simulated markets, from all exchanges."""
    universe = simulated_universe()
    if markets > len(universe.scanned):
        universe = simulated_universe(markets=markets)
    step = max(len(universe.scanned) // markets, 1)
    wait_if_window_ends_soon()
    chosen = SimulatedUniverse(universe.listings, seed=universe.seed, scanned=universe.scanned[::step])
    moment = datetime.now(UTC)
    candles = folder / "candles"
    write_candle_files(chosen, candles, moment)
    with Emulator(universe, calls_per_minute=CALLS_PER_MINUTE) as emulator:
        yield World(folder, emulator, candles, moment, finished=folder / "finished")


def cut_candles(source: Path, target: Path, end_ms: int) -> None:
    """Copy candle files with their times, without bars that close after `end_ms`; copy invalid files unchanged."""
    steps = {"15m": 900_000, "4h": 14_400_000}
    target.mkdir(parents=True, exist_ok=True)
    for file in sorted(source.iterdir()):
        content = file.read_bytes()
        step = steps.get(file.stem.rpartition("_")[2], 0)
        try:
            bars = orjson.loads(content)
        except orjson.JSONDecodeError:
            bars = None
        if isinstance(bars, list):
            content = orjson.dumps([bar for bar in bars if bar["time"] + step <= end_ms])
        (target / file.name).write_bytes(content)
        shutil.copystat(file, target / file.name)
