"""Measure what runs of a backfill cost: the processor time of Dagster and of the work, and memory, by windows a run.

    python -m quant_assets_tests.defs.measure_backfill [MARKETS [TIMES [WINDOWS …]]]

Each run is a process of its own, which loads the definitions and materializes the analysis of a range of windows, from
candle features to the feed, as a run of a backfill does. Every 2 ms of its processor time a sample is taken: the
innermost function of Dagster or of this project says to which of the two it belongs. Python's start and imports count
as Dagster's. Dagster's records are in SQLite, and in PostgreSQL, whose own processor time is not counted.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

import dagster as dg

from quant_assets.common.settings import Settings
from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.definitions import build_definitions
from quant_assets.emulator import Emulator, plain_universe
from quant_assets.orchestration.instance import open_instance
from quant_assets.orchestration.job_runs import quiet_run_config
from quant_assets.orchestration.replay import windows_between
from quant_assets.signals import discover_strategies
from quant_assets_tests.bench.folders import simulated_folder
from quant_assets_tests.defs.live import ROOT, prepare_home
from quant_assets_tests.defs.postgresql import postgresql
from quant_assets_tests.world import CALLS_PER_MINUTE, World

MARKETS, WINDOWS, TIMES = 300, (16, 32, 64, 96), 3
DATABASE = ROOT / "deploy" / "systemd" / "dagster-postgresql.yaml"
SAMPLE_SECONDS = 0.002


@contextmanager
def sampled() -> Iterator[Counter[str]]:
    """Count samples of processor time, by whether Dagster or the project runs."""
    found: Counter[str] = Counter()

    def sample(_number: int, frame: FrameType | None) -> None:
        while frame is not None:
            name = str(frame.f_globals.get("__name__"))
            if name.startswith(("dagster", "quant_assets.")):
                found["dagster" if name.startswith("dagster") else "work"] += 1
                return
            frame = frame.f_back
        found["dagster"] += 1

    signal.signal(signal.SIGPROF, sample)
    signal.setitimer(signal.ITIMER_PROF, SAMPLE_SECONDS, SAMPLE_SECONDS)
    try:
        yield found
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def run_once(newest: str, windows: int) -> None:
    """Materialize the windows up to the newest one in a run; print what it cost."""
    last = Window.of_key(newest)
    group = windows_between(Window(last.end - (windows - 1) * WINDOW_LENGTH), last)
    settings = Settings.from_environment(os.environ)
    signals = [dg.AssetKey(["signals", found.key]) for found in discover_strategies(settings.strategies_dir).strategies]
    names = ("candle_features", "watchlist", "features", "track_record", "master_feed")
    definitions = build_definitions(settings)
    with open_instance(settings) as instance:
        job = definitions.resolve_implicit_global_asset_job_def()
        started, before = time.perf_counter(), time.process_time()
        with sampled() as samples:
            result = job.execute_in_process(
                instance=instance,
                asset_selection=[*map(dg.AssetKey, names), *signals],
                run_config=quiet_run_config(),
                tags={
                    "dagster/asset_partition_range_start": group[0].key,
                    "dagster/asset_partition_range_end": group[-1].key,
                },
            )
        spent = time.process_time() - before
        assert result.success
        print(
            json.dumps(
                {
                    "start": before,
                    "work": spent * samples["work"] / samples.total(),
                    "dagster": spent * samples["dagster"] / samples.total(),
                    "wall": time.perf_counter() - started,
                    "events": len(instance.all_logs(result.run_id)),
                    "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                }
            )
        )


def cost(world: World, variables: Mapping[str, str], windows: int) -> dict[str, float]:
    """Return what a run of so many windows costs, in a process of its own."""
    command = [sys.executable, "-m", "quant_assets_tests.defs.measure_backfill", "run", world.window.key, str(windows)]
    given = {**world.environment(), **variables}
    done = subprocess.run(command, env=given, check=True, timeout=900, stdout=subprocess.PIPE)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def describe(costs: Sequence[Mapping[str, float]]) -> str:
    """Return the medians of several runs."""
    median = {name: statistics.median(run[name] for run in costs) for name in costs[0]}
    own, work = median["start"] + median["dagster"], median["work"]
    return (
        f"start {median['start']:.2f}, Dagster's steps and records {median['dagster']:.2f}, work {work:.2f}; "
        f"Dagster's own {own / (own + work):.1%}; from the first step to the last {median['wall']:.1f} s; "
        f"{median['events']:.0f} events; {median['mib']:.0f} MiB"
    )


@contextmanager
def places_of_records(world: World) -> Iterator[dict[str, dict[str, str]]]:
    """Prepare instances with a scan; yield the variables of each, by where its records are."""
    with postgresql() as url:
        found = {}
        for name, address in (("SQLite", ""), ("PostgreSQL", url.replace("://", "+psycopg2://"))):
            home = world.folder / name
            prepare_home(home, *([DATABASE] if address else []))
            found[name] = {
                "DAGSTER_HOME": str(home),
                "DAGSTER_POSTGRES_URL": address,
                "DAGSTER_EVENT_BATCH_SIZE": "100",
            }
        yield found


def main() -> None:
    given = [int(argument) for argument in sys.argv[1:]]
    markets, times, windows = (given or [MARKETS])[0], (given[1:] or [TIMES])[0], given[2:] or WINDOWS
    moment = datetime.now(UTC)
    with (
        tempfile.TemporaryDirectory() as name,
        Emulator(plain_universe(markets), calls_per_minute=CALLS_PER_MINUTE) as emulator,
    ):
        folder = Path(name)
        world = World(folder, emulator, simulated_folder(folder / "candles", markets, moment), moment)
        world.scan()
        with places_of_records(world) as places:
            print(f"{markets} markets; medians of {times} runs, seconds of processor time", flush=True)
            for count in windows:
                costs: dict[str, list[dict[str, float]]] = {place: [] for place in places}
                for _ in range(times):
                    for place, variables in places.items():
                        costs[place].append(cost(world, variables, count))
                for place, found in costs.items():
                    print(f"{count:4} windows, {place}: {describe(found)}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["run"]:
        run_once(sys.argv[2], int(sys.argv[3]))
    else:
        main()
