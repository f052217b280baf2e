"""Serve the simulated market from a process of its own, so that its clients do not share a processor with it.

`python -m quant_assets.emulator.market_process CALLS_PER_MINUTE` prints one line of JSON, {"coinalyze": URL,
"exchanges": {NAME: URL}}, and serves until its standard input ends, which it does with the process that started it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import IO

import orjson

from quant_assets.emulator.exchanges import ExchangeEmulators, exchanges_of_universe
from quant_assets.emulator.server import Emulator
from quant_assets.emulator.simulated_universe import simulated_universe


@dataclass(frozen=True, slots=True)
class MarketUrls:
    """Base URLs of a local Coinalyze, and of local exchanges by name."""

    coinalyze: str
    exchanges: dict[str, str]


@contextmanager
def start_market(calls_per_minute: int) -> Iterator[Callable[[], MarketUrls]]:
    """Start a process that serves the simulated market; end it at the end of the block.

    Yield a function that waits until requests are accepted, and returns the URLs. It raises RuntimeError if the process
    has ended.
    """
    command = [sys.executable, "-m", "quant_assets.emulator.market_process", str(calls_per_minute)]
    # In a group of its own, since Ctrl-C is for the process that started it.
    with subprocess.Popen(  # noqa: S603 - its arguments are ours
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0
    ) as process:
        try:
            yield partial(_read_urls, process)
        finally:
            process.terminate()  # at once, even if it has not started to serve


def _read_urls(process: subprocess.Popen[bytes]) -> MarketUrls:
    line = b"" if process.stdout is None else process.stdout.readline()
    if not line:
        raise RuntimeError("the local market did not start")
    return MarketUrls(**orjson.loads(line))


def serve_market(calls_per_minute: int, until_end_of: IO[bytes], output: IO[bytes]) -> None:
    """Serve the simulated market until the end of a stream; write the URLs as one line to another."""
    universe = simulated_universe()
    with (
        Emulator(universe, calls_per_minute=calls_per_minute) as emulator,
        ExchangeEmulators(exchanges_of_universe(universe)) as exchanges,
    ):
        output.write(orjson.dumps({"coinalyze": emulator.url, "exchanges": exchanges.urls}) + b"\n")
        output.flush()
        until_end_of.read()


if __name__ == "__main__":
    serve_market(int(sys.argv[1]), sys.stdin.buffer, sys.stdout.buffer)
