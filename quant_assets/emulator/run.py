"""Run the emulator until it is interrupted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

from quant_assets.emulator.exchanges import APIS, ExchangeEmulators, exchanges_of_candles, exchanges_of_universe
from quant_assets.emulator.recorded_universe import universe_of_candles
from quant_assets.emulator.server import DEFAULT_CALLS_PER_MINUTE, DEFAULT_KEY, Emulator
from quant_assets.emulator.simulated_universe import simulated_universe

EXCHANGE_MARKETS = 1100
"""How many markets the local exchanges have, unless they are built from candle files."""


def run_emulator(
    port: int = 0,
    calls_per_minute: int = DEFAULT_CALLS_PER_MINUTE,
    candles: Path | None = None,
    key: str = DEFAULT_KEY,
    *,
    exchanges: bool = False,
    on_ready: Callable[[str, Mapping[str, str]], None] = lambda url, exchange_urls: None,  # noqa: ARG005
) -> None:
    """Serve until KeyboardInterrupt; call `on_ready` once requests are accepted.

    `on_ready` receives the base URL, and with `exchanges` the URLs of the local exchanges by name, whose ports follow
    `port`. The universe is built from the folder `candles`, or simulated if that is None. Raises FileNotFoundError for
    a missing folder, OSError for a port in use.
    """
    with suppress(KeyboardInterrupt), ExitStack() as stack:
        simulated = simulated_universe(markets=EXCHANGE_MARKETS if exchanges else 0) if candles is None else None
        universe = simulated or universe_of_candles(candles or Path())
        emulator = Emulator(universe, calls_per_minute=calls_per_minute, key=key, port=port)
        stack.enter_context(emulator)
        urls: dict[str, str] = {}
        if exchanges:
            markets = exchanges_of_candles(candles or Path()) if simulated is None else exchanges_of_universe(simulated)
            ports = {name: port and port + place for place, name in enumerate(APIS, start=1)}
            urls = stack.enter_context(ExchangeEmulators(markets, ports=ports)).urls
        on_ready(emulator.url, urls)
        emulator.wait()
