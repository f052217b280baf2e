"""Measure the stages and whole scans; see docs/performance.md.

Usage: python -m quant_assets_tests.bench [--quick] [--print]
--quick: a third of the repetitions, and no 5,000 markets. --print: leave the document alone.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson

from quant_assets_tests.bench import report
from quant_assets_tests.bench.report import Row
from quant_assets_tests.bench.timing import Times, run

PROGRAM = (sys.executable, "-m", "quant_assets")
HELP = "quant-assets --help"


def measure(
    markets: str, folder: Path, moment: datetime, repeats: int, *, served: Sequence[str], touch_files: bool
) -> Iterator[Row]:
    """Measure one folder of candles: the stages, then whole scans from the shell."""
    with tempfile.TemporaryDirectory() as data:
        for what in ("read", "analyse"):
            yield from stages(markets, what, folder, Path(data) / "lake", moment, repeats)
    with tempfile.TemporaryDirectory() as data, emulator(served) as api:
        environment = {"QUANT_DATA_DIR": data, **api}
        command = [*PROGRAM, "scan", str(folder), "--as-of", moment.isoformat(), "--json"]
        first, again = Times(), Times()
        _, memory = run(command, first, **environment)
        yield Row(markets, "scan, first of all", first, memory, "with derivatives from an emulator")
        memory = max(run(command, again, **environment)[1] for _ in range(repeats))
        yield Row(markets, "scan, again", again, memory, "from the shell and back, through Dagster")
        if touch_files:
            changed = Times()
            for file in folder.glob("*.json"):
                file.touch()
            _, memory = run(command, changed, **environment)
            yield Row(markets, "scan, every file changed", changed, memory)


def stages(markets: str, what: str, folder: Path, lake: Path, moment: datetime, repeats: int) -> Iterator[Row]:
    """Run the stages "read" or "analyse" in a process of their own, and yield a row for each."""
    program = [sys.executable, "-m", "quant_assets_tests.bench.stages", what, str(folder), str(lake)]
    output, memory = run([*program, moment.isoformat(), str(repeats)], Times())
    found = {name: Times(**times) for name, times in orjson.loads(output).items()}
    for place, (name, times) in enumerate(found.items()):
        note = ""
        if name.startswith("candles, cold"):
            note = f"{times.cpu_median / found['orjson alone'].cpu_median:.1f} × orjson"
        if name == "features":
            analysis = times.cpu_median + sum(t.cpu_median for key, t in found.items() if key.startswith("strategy"))
            note = f"with the strategies {analysis / found['bare TA-Lib'].cpu_median:.1f} × TA-Lib"
        yield Row(markets, name, times, memory if place == len(found) - 1 else None, note)


@contextmanager
def emulator(served: Sequence[str]) -> Iterator[dict[str, str]]:
    """Serve derivatives (see serve.py for the arguments), and yield the environment variables of a client."""
    program = [sys.executable, "-m", "quant_assets_tests.bench.serve", *served]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        try:
            yield {
                "COINALYZE_BASE_URL": url,
                "COINALYZE_API_KEY": "emulator",
                "COINALYZE_CALLS_PER_MINUTE": "1000000",
            }
        finally:
            process.stdin.close()


def measure_all(repeats: int, simulated: list[int]) -> Iterator[Row]:
    """Measure `--help`, scans of the real markets if they are present, and scans of simulated ones."""
    from quant_assets_tests.bench.folders import SAMPLE_MOMENT, real_folder, simulated_folder  # noqa: PLC0415

    help_times = Times()
    memory = max(run([*PROGRAM, "--help"], help_times)[1] for _ in range(repeats))
    yield Row("", HELP, help_times, memory)
    real = real_folder()
    if real is not None:
        served = [str(real), SAMPLE_MOMENT.isoformat()]
        yield from measure("318 real", real, SAMPLE_MOMENT, repeats, served=served, touch_files=False)
    for markets in simulated:
        home = Path(tempfile.mkdtemp())
        try:
            now = datetime.now(UTC)
            moment = now.replace(minute=now.minute // 15 * 15, second=0, microsecond=0)
            folder = simulated_folder(home / "candles", markets, moment + timedelta(minutes=1))
            scans = repeats if markets < 2000 else 3
            yield from measure(f"{markets:,}", folder, moment, scans, served=[str(markets)], touch_files=True)
        finally:
            shutil.rmtree(home)


def main() -> None:
    """Measure, print each row, and write the document."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, and no 5,000 markets")
    parser.add_argument("--print", action="store_true", help="leave docs/performance.md alone")
    arguments = parser.parse_args()
    rows = []
    for row in measure_all(2 if arguments.quick else 5, [1100] if arguments.quick else [1100, 5000]):
        print(row, flush=True)
        rows.append(row)
    if not arguments.print:
        report.write(rows)


if __name__ == "__main__":
    main()
