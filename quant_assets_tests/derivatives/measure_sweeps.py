"""Measure cold sweeps against an emulator: alone, by two processes, and beside a stranger who uses the key too.

Usage: python -m quant_assets_tests.derivatives.measure_sweeps [SYMBOLS] [CALLS_PER_MINUTE]
Prints a table. With the default of 2,000 symbols × 4 datasets at 2,400 calls a minute it takes some eleven minutes.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread

from quant_assets.common.windows import Window
from quant_assets.emulator import Emulator, plain_universe


def sweep(symbols: int, calls_per_minute: int, processes: int, stranger: float) -> str:
    """Sweep once, and return a row of the table."""
    universe = plain_universe(symbols)
    over = Event()
    with (
        tempfile.TemporaryDirectory() as folder,
        Emulator(universe, calls_per_minute=calls_per_minute) as emulator,
    ):

        def spend() -> None:
            # A burst each second, as another program would that looks after its own share.
            while not over.wait(1.0):
                emulator.spend(int(calls_per_minute * stranger / 60))

        if stranger:
            Thread(target=spend, daemon=True).start()
        window = Window.last_complete(datetime.now(UTC)).key
        command = [sys.executable, "-m", "quant_assets_tests.derivatives.sweep", emulator.url, folder]
        running = [
            subprocess.Popen(
                [*command, str(symbols), str(calls_per_minute), window],
                stdout=subprocess.DEVNULL,
                cwd=Path(__file__).parents[2],
            )
            for _ in range(processes)
        ]
        for process in running:
            process.wait()
        over.set()
        accounting = emulator.accounting
    moments = [request.moment for request in accounting.accepted]
    seconds = (moments[-1] - moments[0]).total_seconds()
    share = 1.0 - stranger
    minimum = 60.0 * ((symbols * 4 - 1) // int(calls_per_minute * share))
    return (
        f"| {processes} | {stranger:.0%} | {accounting.calls} | {accounting.requests} | {accounting.rate_limited} "
        f"| {minimum:.0f} | {seconds:.1f} | {seconds / minimum - 1:+.1%} |"
    )


def main() -> None:
    """Print the table."""
    symbols, calls_per_minute = (int(text) for text in (sys.argv[1:] + ["2000", "2400"][len(sys.argv) - 1 :]))
    print("| processes | stranger | calls | requests | 429 | minimum (s) | took (s) | over it |")
    print("|---|---|---|---|---|---|---|---|")
    for processes, stranger in ((1, 0.0), (2, 0.0), (1, 1 / 3)):
        print(sweep(symbols, calls_per_minute, processes, stranger), flush=True)


if __name__ == "__main__":
    main()
