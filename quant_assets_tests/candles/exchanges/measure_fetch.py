"""Measure a fetch from eight local exchanges: `python -m quant_assets_tests.candles.exchanges.measure_fetch`.

The exchanges run in a process of their own, with 1,100 markets and the documented limits, without Hyperliquid's.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

from quant_assets.candles.bar_store import BarStore
from quant_assets.candles.exchanges.config import ExchangesConfig
from quant_assets.candles.exchanges.connections import connected
from quant_assets.candles.exchanges.fetch import FetchReport
from quant_assets.candles.exchanges.market_lists import fetch_exchange_markets, markets_of, rows_of
from quant_assets.candles.exchanges.refresh import refresh_bars
from quant_assets.common.settings import Settings
from quant_assets.emulator import simulated_universe
from quant_assets.emulator.exchanges import ExchangeEmulators, exchanges_of_universe
from quant_assets.markets import ResolutionRules
from quant_assets.providers.budget import CallBudget
from quant_assets.providers.exchanges.catalogue import EXCHANGE_APIS
from quant_assets.providers.exchanges.client import ExchangeClient
from quant_assets.storage.lake import Lake

DAY_MS = 86_400_000


def serve(ahead: Synchronized[float], pipe: Connection, markets: int) -> None:
    """Serve the exchanges until told to stop; answer with what they counted."""
    universe = exchanges_of_universe(simulated_universe(markets=markets))
    with ExchangeEmulators(universe, clock=lambda: datetime.fromtimestamp(time.time() + ahead.value, UTC)) as exchanges:
        pipe.send(exchanges.urls)
        while (asked := pipe.recv()) != "stop":
            if isinstance(asked, tuple):
                exchanges[asked[0]].limits_factor = asked[1]
            counts = {name: exchanges[name].accounting for name in exchanges.urls}
            pipe.send({name: (count.rate_limited, count.weight) for name, count in counts.items()})


@contextmanager
def served(markets: int) -> Iterator[tuple[dict[str, str], Connection, Synchronized[float]]]:
    context = multiprocessing.get_context("spawn")
    ahead = context.Value("d", 0.0)
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(ahead, there, markets), daemon=True)
    process.start()
    try:
        yield here.recv(), here, ahead
    finally:
        here.send("stop")
        process.join(10)


class Measured:
    """A fetch of all exchanges, timed."""

    def __init__(self, folder: Path, urls: dict[str, str], ahead: Synchronized[float], stack: ExitStack) -> None:
        self.ahead = ahead
        self.store = BarStore(Lake(folder / "lake"), folder / "locks")
        settings = Settings(data_dir=folder, exchange_urls=urls)
        self.clients: dict[str, list[ExchangeClient]] = {
            name: stack.enter_context(connected(settings, name, clock=self.clock))
            for name in urls
            if name != "HYPERLIQUID"
        }
        unlimited = CallBudget(folder / "budget.sqlite", 1_000_000)
        stack.callback(unlimited.close)
        self.clients["HYPERLIQUID"] = [
            ExchangeClient(EXCHANGE_APIS["HYPERLIQUID"], unlimited, urls["HYPERLIQUID"], clock=self.clock)
            for _ in range(3)
        ]
        config = ExchangesConfig(exchanges=tuple(urls), min_quote_volume_24h=0, top=1000)
        began = time.perf_counter()
        found = fetch_exchange_markets(config, ResolutionRules(), lambda name: self.clients[name][0].markets(), None)
        print(f"market lists: {time.perf_counter() - began:.1f} s, {found.problems or 'no problem'}")
        table = found.table[found.table["selected"].astype(bool)]
        self.markets = {name: markets_of(rows_of(table, name)) for name in urls}
        print({name: len(markets) for name, markets in self.markets.items()}, len(table))

    def clock(self) -> float:
        return time.time() + self.ahead.value

    def fetch(self, name: str, days: float, markets: int | None = None) -> tuple[FetchReport, float]:
        began = time.perf_counter()
        report = refresh_bars(
            EXCHANGE_APIS[name],
            self.clients[name],
            self.markets[name][:markets],
            self.store,
            history_from_ms=int(self.clock() * 1000 - days * DAY_MS),
            clock=self.clock,
        )
        return report, time.perf_counter() - began

    def all(self, title: str, days: float) -> None:
        cpu, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        with ThreadPoolExecutor(len(self.clients)) as pool:
            found = list(pool.map(lambda name: self.fetch(name, days), self.clients))
        used = resource.getrusage(resource.RUSAGE_SELF)
        print(f"{title}: {time.perf_counter() - began:.1f} s wall, ", end="")
        seconds = used.ru_utime - cpu.ru_utime + used.ru_stime - cpu.ru_stime
        print(f"{seconds:.1f} s processor time, {used.ru_maxrss // 1024} MiB")
        for report, seconds in found:
            print(
                f"  {report.exchange:<12} {seconds:6.1f} s {report.done:5} requests {report.stored.new:8} bars, "
                f"late {len(report.late)}, failed {len(report.failed)}, {report.problem}"
            )


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--markets", type=int, default=1100)
    parser.add_argument("--days", type=float, default=2.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder, ExitStack() as stack:
        urls, pipe, ahead = stack.enter_context(served(given.markets))
        pipe.send(("HYPERLIQUID", 100.0))
        pipe.recv()
        measured = Measured(Path(folder), urls, ahead, stack)
        measured.all(f"history of {given.days:g} days", given.days)
        ahead.value += 900 - (measured.clock() % 900) + 1
        measured.all("next window", given.days)
        pipe.send("counts")
        print("refused by the limits, and weight:", pipe.recv())
        print(f"stored: {measured.store.size() / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
