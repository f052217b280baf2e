"""Measure refreshes of an empty store: by one process, by two, and beside another client of the same key.

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


def measure(symbols: int, calls_per_minute: int, processes: int, other_client: float) -> str:
    """Refresh an empty store, and return a row of the table. `other_client` is its share of the limit."""
    universe = plain_universe(symbols)
    finished = Event()
    with (
        tempfile.TemporaryDirectory() as folder,
        Emulator(universe, calls_per_minute=calls_per_minute) as emulator,
    ):

        def spend() -> None:
            # A burst each second, like another program that keeps to its own share.
            while not finished.wait(1.0):
                emulator.spend(int(calls_per_minute * other_client / 60))

        if other_client:
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
        finished.set()
        accounting = emulator.accounting
    moments = [request.moment for request in accounting.accepted]
    seconds = (moments[-1] - moments[0]).total_seconds()
    share = 1.0 - other_client
    minimum = 60.0 * ((symbols * 4 - 1) // int(calls_per_minute * share))
    return (
        f"| {processes} | {other_client:.0%} | {accounting.calls} | {accounting.requests} | {accounting.rate_limited} "
        f"| {minimum:.0f} | {seconds:.1f} | {seconds / minimum - 1:+.1%} |"
    )


def main() -> None:
    """Print the table."""
    symbols, calls_per_minute = (int(text) for text in (sys.argv[1:] + ["2000", "2400"][len(sys.argv) - 1 :]))
    print("| processes | other client | calls | requests | 429 | minimum (s) | took (s) | over it |")
    print("|---|---|---|---|---|---|---|---|")
    for processes, other_client in ((1, 0.0), (2, 0.0), (1, 1 / 3)):
        print(measure(symbols, calls_per_minute, processes, other_client), flush=True)


if __name__ == "__main__":
    main()
