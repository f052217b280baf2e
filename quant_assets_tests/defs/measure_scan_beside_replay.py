"""Measure how long a scan waits in the queue while a backfill runs, under `dagster dev` with PostgreSQL.

    python -m quant_assets_tests.defs.measure_scan_beside_replay [MARKETS [WINDOWS]]

test_scan_beside_replay.py tests it with few markets.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
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
from quant_assets_tests.defs.live import Live, dagster_dev, prepare_home, wait_for
from quant_assets_tests.defs.postgresql import postgresql
from quant_assets_tests.defs.running import ANALYSIS
from quant_assets_tests.world import CALLS_PER_MINUTE, World, environment

MARKETS, WINDOWS, SCANS = 300, 96, 3


@dataclass(frozen=True)
class SideBySide:
    """The run of a backfill, the scans that were requested and ended while it ran, and those without one."""

    replay: dict[str, Any]
    beside: list[dict[str, Any]]
    alone: list[dict[str, Any]]


@contextmanager
def installation(folder: Path, markets: int, windows: int) -> Iterator[tuple[World, Live]]:
    """Run Dagster on one machine with a shared database and so many windows a run, after a first scan."""
    moment = datetime.now(UTC)
    with ExitStack() as stack:
        emulator = stack.enter_context(Emulator(plain_universe(markets), calls_per_minute=CALLS_PER_MINUTE))
        world = World(folder, emulator, simulated_folder(folder / "candles", markets, moment), moment)
        url = stack.enter_context(postgresql())
        home = world.folder / "home"
        prepare_home(home)
        stack.enter_context(environment(QUANT_DATABASE_URL=url))
        world.scan(database_url=url)
        given = {**world.environment(), "QUANT_DATABASE_URL": url, "QUANT_WINDOWS_PER_RUN": str(windows)}
        yield world, stack.enter_context(dagster_dev(given, home))


def side_by_side(world: World, live: Live, windows: int, scans: int) -> SideBySide:
    """Scan the newest window several times without a backfill, and as often beside one."""

    def scan() -> dict[str, Any]:
        return live.finished_run(live.launch(ANALYSE, world.window.key), 600)

    alone = [scan() for _ in range(scans)]
    first = world.window.end - 300 * WINDOW_LENGTH
    backfill = live.backfill(ANALYSIS, [Window(first + number * WINDOW_LENGTH).key for number in range(windows)])
    mine = [{"key": "dagster/backfill", "value": backfill}]
    wait_for(lambda: live.runs(tags=mine, statuses=["STARTED"]), 120, "the backfill's run")
    beside = [scan() for _ in range(scans)]
    assert live.finished_backfill(backfill, 900) == "COMPLETED_SUCCESS"
    (replay,) = live.runs(tags=mine)
    return SideBySide(replay, beside, alone)


def waited(run: dict[str, Any]) -> float:
    """Return the seconds from the request of a run to its start."""
    return float(run["startTime"] - run["creationTime"])


def main() -> None:
    markets, windows = [*map(int, sys.argv[1:]), *(MARKETS, WINDOWS)[len(sys.argv) - 1 :]]
    with tempfile.TemporaryDirectory() as name, installation(Path(name), markets, windows) as (world, live):
        found = side_by_side(world, live, windows, SCANS)
    seconds = found.replay["endTime"] - found.replay["startTime"]
    print(f"a run of {windows} windows of {markets} markets: {seconds:.0f} s")
    for what, runs in (("without it", found.alone), ("beside it", found.beside)):
        wait = statistics.median(map(waited, runs))
        took = statistics.median(run["endTime"] - run["startTime"] for run in runs)
        ended = sum(run["endTime"] < found.replay["endTime"] for run in runs)
        print(f"{len(runs)} scans {what}: waited {wait:.1f} s, took {took:.1f} s; {ended} ended before it")


if __name__ == "__main__":
    main()
