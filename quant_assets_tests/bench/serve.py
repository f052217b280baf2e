"""An emulator of any number of plain markets, in a process of its own.

Usage: python -m quant_assets_tests.bench.serve MARKETS
Prints its address, and serves until its input ends.
"""

from __future__ import annotations

import sys

from quant_assets.emulator import Emulator, plain_universe

CALLS_PER_MINUTE = 1_000_000


def main() -> None:
    """Serve."""
    with Emulator(plain_universe(int(sys.argv[1])), calls_per_minute=CALLS_PER_MINUTE) as emulator:
        print(emulator.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
