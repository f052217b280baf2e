"""Run a day of windows with random faults in time-lapse, and check that memory, files and disk do not grow.

    python -m quant_assets_tests.faults.soak --windows 96 --markets 300 --seed 1

The API fails, is down, rejects the key or is shared with another client; candle files are cut, stale or missing.
The output has a row for each window and the broken promises; the exit code is 1 if there are any. Most of the time
goes into Dagster's many small commits, so a TMPDIR in memory makes it several times shorter.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from random import Random
from statistics import median
from unittest.mock import patch

import dagster as dg
import orjson

from quant_assets.common.settings import Settings
from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.emulator import (
    DEFAULT_KEY,
    DEFAULT_SEED,
    MARKER,
    Emulator,
    Faults,
    ScannedMarket,
    SimulatedMarket,
    plain_universe,
)
from quant_assets.emulator.candle_files import TIMEFRAMES, candle_file
from quant_assets.feed import feed_problems
from quant_assets.orchestration.resources import Retention
from quant_assets.storage.lake import Lake
from quant_assets.storage.retention import RetentionPolicy, size_of
from quant_assets_tests.time_lapse import TimeLapse, shown_checks, shown_metadata
from quant_assets_tests.world import environment

BEGIN = datetime(2026, 2, 3, 0, 0, tzinfo=UTC)
CALLS_PER_MINUTE = 40
#: Pruning every three hours; data are kept for six hours, and bars for six hours beyond LOOKBACK.
#: `retention.toml` allows no less than a day, so the policy is patched.
PRUNE_EVERY = 12
RETENTION = RetentionPolicy.model_construct(windows_days=0.25, bars_days=1.75, runs_days=0.25)
#: Markets with candles of their own; the others have copies of these.
DISTINCT = 50
FAULT_KINDS = ("", "", "", "errors", "torn", "slow", "shared", "down", "refused")
FOLDERS = ("lake", "store", "dagster")
#: Allowed growth from the second quarter of the day to the last.
MEMORY_GROWTH, DISK_GROWTH, MORE_DESCRIPTORS = 1.05, 1.10, 2
#: With fewer windows growth is not checked, since retention has hardly begun.
MIN_WINDOWS = 64


@dataclass
class Candles:
    """The candle folder, rewritten for every window, with files that are cut, stale or missing for a while."""

    folder: Path
    markets: int
    random: Random
    spoiled: dict[int, tuple[str, int]] = field(default_factory=dict)

    def write(self, moment: datetime, number: int) -> None:
        """Write the bars up to a moment: 15m files for every window, 4h files once an hour."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / MARKER).write_text("A simulated market: nothing here was ever traded.\n")
        self.spoiled = {market: (kind, until) for market, (kind, until) in self.spoiled.items() if until > number}
        if number and self.random.random() < 0.5:
            kind = self.random.choice(("cut", "stale", "missing"))
            for market in self.random.sample(range(1, self.markets + 1), max(self.markets // 100, 1)):
                self.spoiled[market] = kind, number + self.random.randint(1, 8)
        content = lru_cache(maxsize=None)(lambda market, timeframe: self._content(market, timeframe, moment))
        for market in range(1, self.markets + 1):
            kind = self.spoiled.get(market, ("", 0))[0]
            for timeframe in TIMEFRAMES:
                path = self.folder / self.name(market, timeframe)
                if timeframe == "4h" and number % 4 and path.exists():
                    continue
                if kind == "missing" and timeframe == "15m":
                    path.unlink(missing_ok=True)
                elif kind == "cut" and timeframe == "15m":
                    path.write_bytes(content((market - 1) % DISTINCT, timeframe)[:20_000])
                elif kind != "stale":
                    path.write_bytes(content((market - 1) % DISTINCT, timeframe))

    def of_kind(self, kind: str) -> list[str]:
        """Return the names of the files with this kind of fault."""
        return [self.name(market, "15m") for market, (spoiled, _) in self.spoiled.items() if spoiled == kind]

    @staticmethod
    def name(market: int, timeframe: str) -> str:
        return f"BINANCE_S{market:04d}USDT_{timeframe}.json"

    @staticmethod
    def _content(number: int, timeframe: str, moment: datetime) -> bytes:
        market = SimulatedMarket("BINANCE", f"S{number:04d}", 10.0 ** (number % 9 - 3))
        scanned = ScannedMarket("BINANCE", f"S{number:04d}USDT", market)
        return candle_file(DEFAULT_SEED, scanned, timeframe, moment.timestamp())


@dataclass(frozen=True)
class Row:
    """The measurements of one window: seconds, memory and disk in MiB, and counts."""

    number: int
    fault: str
    seconds: float
    memory: float
    descriptors: int
    disk: dict[str, float]
    rate_limited: int
    runs: int
    skipped: int

    def line(self) -> str:
        disk = " ".join(f"{self.disk[name]:8.2f}" for name in FOLDERS)
        return (
            f"{self.number:4} {self.fault or '–':9} {self.seconds:6.1f} {self.memory:8.1f} {self.descriptors:4} "
            f"{disk} {self.rate_limited:4} {self.runs:5} {self.skipped:5}"
        )


HEAD = "   # fault     seconds   memory  fds     lake    store  dagster  429  runs  skip   (memory and disk in MiB)"


class Soak:
    """The run: its faults, its measurements, and the promises that broke."""

    def __init__(self, settings: Settings, emulator: Emulator, markets: int, windows: int, seed: int) -> None:
        self.settings, self.emulator, self.markets, self.windows = settings, emulator, markets, windows
        self.random = Random(f"{seed}:soak")
        self.lapse = TimeLapse(settings, emulator, BEGIN, self._inject_faults, evaluated=(1, 6, 14))
        self.candles = Candles(settings.candle_folder, markets, self.random)
        self.fault = ""
        self.broken: list[str] = []
        self.rows: list[Row] = []

    def run(self, tell: Callable[[str], None]) -> None:
        """Run all windows, and report each."""
        tell(HEAD)
        with self.lapse.opened() as instance:
            for number in range(self.windows):
                started, limited, asked = time.perf_counter(), self._limited(), len(self.lapse.requested)
                self.lapse.run_window(instance, number)
                if number % PRUNE_EVERY == PRUNE_EVERY - 1:
                    self._set_file_times()
                    self.lapse.prune(instance)
                limited = self._limited() - limited
                skipped = self._check_window(instance, number, limited)
                runs = len(self.lapse.requested) - asked
                self.rows.append(self._row(number, time.perf_counter() - started, limited, runs, skipped))
                tell(self.rows[-1].line())
        self.broken += self.lapse.failed

    def _set_file_times(self) -> None:
        """Set the file times of tables to the ends of their windows, since they are written at the real time."""
        for file in self.settings.lake_dir.rglob("*/[0-9]*.*"):
            name = file.name.partition(".")[0]
            end = Window.of_key(f"{name[:-2]}:{name[-2:]}").end.timestamp()
            os.utime(file, (end, end))

    def _inject_faults(self, number: int, minute: int) -> None:
        """Choose the fault of a window at its first minute; another client spends the budget every minute."""
        if minute == 0:
            self.fault = self.random.choice(FAULT_KINDS) if number else ""
            seed = self.random.randrange(1_000_000)
            self.emulator.key = "another" if self.fault == "refused" else DEFAULT_KEY
            self.emulator.faults = {
                "errors": Faults(seed=seed, server_error=0.3),
                "torn": Faults(seed=seed, cut=0.2, closed=0.2),
                "slow": Faults(seed=seed, slow=0.3, delay_seconds=0.01, server_error=0.1),
                "down": Faults(server_error=1.0),
            }.get(self.fault, Faults())
            self.candles.write(self.lapse.now(), number)
        if self.fault == "shared":
            self.emulator.spend(CALLS_PER_MINUTE)

    def _check_window(self, instance: dg.DagsterInstance, number: int, limited: int) -> int:
        """Check the promises of a window, and return the number of files skipped in its feed."""
        window = self.lapse.window(number)
        feed = Lake(self.settings.lake_dir).read_document(["master_feed"], window.key)
        if feed is None:
            self._record_broken(number, "is without a feed")
            return 0
        if problems := feed_problems(feed):
            self._record_broken(number, f"breaks the contract: {problems[0]}")
        told = orjson.loads(feed)
        if orjson.loads(self.settings.feed_path.read_bytes())["window"] != window.key:
            self._record_broken(number, "was not published")
        if told["stats"]["markets"] < 0.95 * self.markets:
            self._record_broken(number, f"has {told['stats']['markets']} markets")
        if limited and self.fault != "shared":
            self._record_broken(number, f"brought {limited} answers 429")
        shown, checks = shown_metadata(instance), shown_checks(instance)
        if (self.fault == "refused") != (shown["stopped"] == "key_refused"):
            self._record_broken(number, f"({self.fault or 'no fault'}) shows that it stopped for {shown['stopped']}")
        if self.fault in ("down", "refused") and (checks["refresh"] or not shown["problems"]):
            self._record_broken(number, f"({self.fault}) does not show both a failed check and a problem")
        if not self.fault and (shown["problems"] or not checks["refresh"]):
            self._record_broken(number, f"shows problems without a fault: {shown['problems']}")
        for file in self.candles.of_kind("cut"):
            if file not in told["stats"]["skipped"]:
                self._record_broken(number, f"does not tell that {file} is cut")
        return len(told["stats"]["skipped"])

    def _record_broken(self, number: int, what: str) -> None:
        self.broken.append(f"window {number} {what}")

    def _limited(self) -> int:
        return self.emulator.accounting.rate_limited

    def _row(self, number: int, seconds: float, limited: int, runs: int, skipped: int) -> Row:
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        disk = {name: size_of(self.settings.data_dir / name) / 2**20 for name in FOLDERS}
        descriptors = len(os.listdir("/proc/self/fd"))
        memory = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
        return Row(number, self.fault, seconds, memory, descriptors, disk, limited, runs, skipped)


def verdicts(rows: Sequence[Row]) -> Iterator[tuple[bool, str]]:
    """Compare the last quarter of the day with the second; yield for each measure whether it held, and a line."""
    quarter = len(rows) // 4
    second, last = rows[quarter : 2 * quarter], rows[-quarter:]

    def compared(name: str, measure: Callable[[Row], float], limit: Callable[[float], float]) -> tuple[bool, str]:
        before, after = median(map(measure, second)), median(map(measure, last))
        held = after <= limit(before)
        return (
            held,
            f"{'held ' if held else 'BROKE'} {name}: {before:.2f} in the second quarter, {after:.2f} in the last",
        )

    yield compared("memory, MiB", lambda row: row.memory, lambda before: before * MEMORY_GROWTH)
    yield compared("descriptors", lambda row: row.descriptors, lambda before: before + MORE_DESCRIPTORS)
    for name in FOLDERS:
        yield compared(
            f"disk in {name}, MiB", lambda row, name=name: row.disk[name], lambda before: before * DISK_GROWTH
        )
    growth = {after.number: sum(after.disk.values()) - sum(before.disk.values()) for before, after in pairwise(rows)}
    yield compared(
        "disk written in a window, MiB", lambda row: growth.get(row.number, 0.0), lambda before: before * DISK_GROWTH
    )


@contextmanager
def short_retention() -> Iterator[None]:
    """Apply RETENTION instead of the user's file."""
    with patch.object(Retention, "load", lambda self: RETENTION):
        yield


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the soak test, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--windows", type=int, default=96)
    parser.add_argument("--markets", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    with (
        tempfile.TemporaryDirectory() as folder,
        Emulator(plain_universe(options.markets), calls_per_minute=CALLS_PER_MINUTE) as emulator,
        environment(COINALYZE_API_KEY=DEFAULT_KEY, DAGSTER_HOME=str(Path(folder, "data", "dagster"))),
        short_retention(),
    ):
        settings = Settings(
            base_url=emulator.url,
            calls_per_minute=CALLS_PER_MINUTE,
            data_dir=Path(folder, "data"),
            candles_dir=Path(folder, "candles"),
        )
        soak = Soak(settings, emulator, options.markets, options.windows, options.seed)
        print(
            f"{options.windows} windows of {WINDOW_LENGTH}, {options.markets} markets, seed {options.seed}", flush=True
        )
        soak.run(lambda line: print(line, flush=True))
    broken = list(soak.broken)
    if options.windows >= MIN_WINDOWS:
        for held, line in verdicts(soak.rows):
            print(line)
            broken += [] if held else [line]
    else:
        print(f"growth is judged from {MIN_WINDOWS} windows on")
    for line in soak.broken:
        print(f"BROKE {line}")
    print("a promise broke" if broken else "every promise held")
    return 1 if broken else 0


if __name__ == "__main__":
    import logging
    import warnings

    warnings.filterwarnings("ignore", module=r"dagster(\..*)?")
    logging.getLogger("dagster").setLevel(logging.CRITICAL)
    sys.exit(main())
