"""Serve an emulator from a process of its own, for plain markets or for a folder of candles at a moment.

Usage: python -m quant_assets_tests.bench.serve MARKETS
       python -m quant_assets_tests.bench.serve FOLDER MOMENT
Prints its address, and serves until its input ends.
"""

from __future__ import annotations

import sys
from pathlib import Path

from quant_assets.common.windows import parse_timestamp
from quant_assets.emulator import Emulator, plain_universe, universe_of_candles

CALLS_PER_MINUTE = 1_000_000


def main() -> None:
    """Start the emulator, print its address, and serve until the input ends."""
    what, *at = sys.argv[1:]
    if at:
        moment = parse_timestamp(at[0])
        made = Emulator(universe_of_candles(Path(what)), calls_per_minute=CALLS_PER_MINUTE, clock=lambda: moment)
    else:
        made = Emulator(plain_universe(int(what)), calls_per_minute=CALLS_PER_MINUTE)
    with made as emulator:
        print(emulator.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
