"""Measure how long a scan waits while a backfill runs, under `dagster dev`, without a database or with PostgreSQL.

    python -m quant_assets_tests.defs.measure_scan_beside_replay folder|database [MARKETS [WINDOWS [WINDOWS_PER_RUN]]]

test_scan_beside_replay.py tests it with few markets.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.emulator import Emulator, plain_universe
from quant_assets.orchestration.job_names import ANALYSE
from quant_assets_tests.bench.folders import simulated_folder
from quant_assets_tests.defs.live import GOING_ON, Live, dagster_dev, prepare_home, wait_for
from quant_assets_tests.defs.postgresql import postgresql
from quant_assets_tests.defs.running import ANALYSIS
from quant_assets_tests.world import CALLS_PER_MINUTE, World, environment

MARKETS, WINDOWS, WINDOWS_PER_RUN = 300, 96, 96
#: Scans without a backfill. Beside it there is one each PAUSE_SECONDS.
SCANS, PAUSE_SECONDS = 3, 20.0


@dataclass(frozen=True)
class SideBySide:
    """The runs of a backfill, the scans that were requested while they ran, and those without a backfill."""

    replay: list[dict[str, Any]]
    beside: list[dict[str, Any]]
    alone: list[dict[str, Any]]

    @property
    def begins(self) -> float:
        """When the backfill's first run started, in UNIX seconds."""
        return float(min(run["startTime"] for run in self.replay))

    @property
    def ends(self) -> float:
        """When the backfill's last run ended, in UNIX seconds."""
        return float(max(run["endTime"] for run in self.replay))


@contextmanager
def installation(folder: Path, markets: int, windows_per_run: int, *, shared: bool) -> Iterator[tuple[World, Live]]:
    """Run Dagster on one machine with so many windows a run, after a first scan; with a database if `shared`."""
    moment = datetime.now(UTC)
    with ExitStack() as stack:
        emulator = stack.enter_context(Emulator(plain_universe(markets), calls_per_minute=CALLS_PER_MINUTE))
        world = World(folder, emulator, simulated_folder(folder / "candles", markets, moment), moment)
        home = world.folder / "home"
        prepare_home(home)
        given = {**world.environment(), "QUANT_WINDOWS_PER_RUN": str(windows_per_run)}
        if shared:
            url = stack.enter_context(postgresql())
            stack.enter_context(environment(QUANT_DATABASE_URL=url))
            world.scan(database_url=url)
            given["QUANT_DATABASE_URL"] = url
        else:
            world.scan()
        yield world, stack.enter_context(dagster_dev(given, home))


def side_by_side(world: World, live: Live, windows: int, scans: int, pause_seconds: float = 0.0) -> SideBySide:
    """Scan the newest window several times without a backfill, then beside one until it ends, at least once."""

    def scan() -> dict[str, Any]:
        return live.finished_run(live.launch(ANALYSE, world.window.key), 600)

    alone = [scan() for _ in range(scans)]
    first = world.window.end - (windows + 100) * WINDOW_LENGTH
    backfill = live.backfill(ANALYSIS, [Window(first + number * WINDOW_LENGTH).key for number in range(windows)])
    mine = [{"key": "dagster/backfill", "value": backfill}]
    wait_for(lambda: live.runs(tags=mine, statuses=["STARTED"]), 120, "the backfill's first run")
    beside = [scan()]
    while live.backfill_status(backfill) in GOING_ON:
        time.sleep(pause_seconds)
        beside.append(scan())
    assert live.finished_backfill(backfill, 900) == "COMPLETED_SUCCESS"
    return SideBySide(live.runs(tags=mine), beside, alone)


def waited(run: dict[str, Any]) -> float:
    """Return the seconds from the request of a run to its start."""
    return float(run["startTime"] - run["creationTime"])


def main() -> None:
    place, *numbers = sys.argv[1:]
    markets, windows, per_run = [*map(int, numbers), *(MARKETS, WINDOWS, WINDOWS_PER_RUN)[len(numbers) :]]
    shared = place == "database"
    with tempfile.TemporaryDirectory() as name, installation(Path(name), markets, per_run, shared=shared) as made:
        world, live = made
        found = side_by_side(world, live, windows, SCANS, PAUSE_SECONDS)
    seconds = found.ends - found.begins
    print(f"{len(found.replay)} runs of {windows} windows of {markets} markets: {seconds:.0f} s")
    beside = [scan for scan in found.beside if scan["endTime"] < found.ends]
    for what, runs in (("without it", found.alone), ("beside it", beside)):
        waits, took = [waited(run) for run in runs], [run["endTime"] - run["startTime"] for run in runs]
        print(
            f"{len(runs)} scans {what}: waited {statistics.median(waits):.1f} s (at most {max(waits):.1f}), took"
            f" {statistics.median(took):.1f} s (at most {max(took):.1f})"
        )


if __name__ == "__main__":
    main()
