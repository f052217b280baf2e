"""The emulator as a program of its own: until it is interrupted.

Here: choosing the universe and blocking. Not here: the command line, which calls this and prints.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from quant_assets.emulator.recorded_universe import universe_of_candles
from quant_assets.emulator.server import DEFAULT_CALLS_PER_MINUTE, DEFAULT_KEY, Emulator, system_clock
from quant_assets.emulator.simulated_universe import DEFAULT_SEED, simulated_universe


def run_emulator(
    port: int = 0,
    calls_per_minute: int = DEFAULT_CALLS_PER_MINUTE,
    candles: Path | None = None,
    seed: int = DEFAULT_SEED,
    key: str = DEFAULT_KEY,
    *,
    on_ready: Callable[[str], None] = lambda url: None,  # noqa: ARG005
    clock: Callable[[], datetime] = system_clock,
) -> None:
    """Serve until KeyboardInterrupt; `on_ready` is told the base URL once it may be asked.

    The universe is made of the folder `candles`, or simulated where there is none. Raises FileNotFoundError for a
    folder that is not there, OSError for a port that is taken.
    """
    universe = simulated_universe(seed) if candles is None else universe_of_candles(candles, seed)
    with Emulator(universe, calls_per_minute=calls_per_minute, key=key, port=port, clock=clock) as emulator:
        try:
            on_ready(emulator.url)
            emulator.wait()
        except KeyboardInterrupt:
            return
