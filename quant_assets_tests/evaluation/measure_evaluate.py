"""Measure the command `evaluate` from the shell: time, processor time and peak memory.

    python -m quant_assets_tests.evaluation.measure_evaluate [--candles DIR] [--days 365] [--markets 100]

The candles of a folder, and a long history of simulated markets.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from quant_assets.emulator import simulated_universe
from quant_assets.emulator.candle_files import TIMEFRAMES, to_candle_json
from quant_assets.emulator.simulated_market import simulate_candles
from quant_assets_tests.defs.live import BIN

END = datetime(2026, 2, 3, 12, 0, tzinfo=UTC)


def write_history(folder: Path, markets: int, days: int) -> None:
    """Write candle files of simulated markets."""
    universe = simulated_universe(markets=markets)
    for scanned in universe.scanned[:markets]:
        for timeframe, seconds in TIMEFRAMES.items():
            newest = int(END.timestamp()) - seconds
            bars = simulate_candles(
                universe.seed, scanned.market, seconds, newest - days * 86_400, newest + 1, END.timestamp()
            )
            path = folder / f"{scanned.exchange}_{scanned.symbol}_{timeframe}.json"
            path.write_bytes(to_candle_json(bars))


def measure(folder: Path, data: Path) -> str:
    """Run the command once, and return a row."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("QUANT", "COINALYZE"))}
    before = os.times()
    started = time.monotonic()
    with subprocess.Popen(
        [str(BIN / "quant-assets"), "evaluate", str(folder), "--json"],
        env={**env, "QUANT_DATA_DIR": str(data)},
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.monotonic() - started
    if process.returncode:
        raise RuntimeError(f"evaluate ended with {process.returncode}")
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    found: dict[str, Any] = orjson.loads(output)
    counts = f"{found['markets']:,} | {found['windows']:,} | {found['market_windows']:,}"
    return f"| {counts} | {wall:.1f} | {cpu:.1f} | {usage.ru_maxrss / 1024:,.0f} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--candles", type=Path)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--markets", type=int, default=100)
    parser.add_argument("--runs", type=int, default=1)
    options = parser.parse_args(arguments)
    print("| markets | windows | market-windows | wall (s) | processor (s) | peak (MiB) |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folders = [options.candles] if options.candles else []
        if options.markets:
            made = Path(name, "candles")
            made.mkdir()
            write_history(made, options.markets, options.days)
            folders.append(made)
        for folder in folders:
            for _ in range(options.runs):
                print(measure(folder, Path(name, "data")), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
