"""The emulator as a program of its own: until it is interrupted."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import datetime
from pathlib import Path

from quant_assets.emulator.candle_keeper import CandleKeeper
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
    keep_candles: Path | None = None,
    on_ready: Callable[[str], None] = lambda url: None,  # noqa: ARG005
    on_error: Callable[[OSError], None] = lambda error: None,  # noqa: ARG005
    clock: Callable[[], datetime] = system_clock,
) -> None:
    """Serve until KeyboardInterrupt; `on_ready` is told the base URL once it may be asked.

    The universe is made of the folder `candles`, or simulated where there is none. The candle files of `keep_candles`
    are those of the simulated universe, and kept up to date meanwhile; `on_error` is told where that cannot be. Raises
    FileNotFoundError for a folder that is not there, OSError for a port that is taken.
    """
    with suppress(KeyboardInterrupt), ExitStack() as stack:
        simulated = simulated_universe(seed) if candles is None else None
        universe = simulated or universe_of_candles(candles or Path(), seed)
        emulator = Emulator(universe, calls_per_minute=calls_per_minute, key=key, port=port, clock=clock)
        stack.enter_context(emulator)
        if simulated is not None and keep_candles is not None:
            stack.enter_context(CandleKeeper(simulated, keep_candles, clock=clock, on_error=on_error))
        on_ready(emulator.url)
        emulator.wait()
