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
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import cycle
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

from quant_assets.candles.bar_store import BarStore
from quant_assets.candles.exchanges.config import ExchangesConfig
from quant_assets.candles.exchanges.connections import connected
from quant_assets.candles.exchanges.fetch import FetchReport
from quant_assets.candles.exchanges.market_lists import fetch_exchange_markets, markets_of, rows_of
from quant_assets.candles.exchanges.refresh import refresh_bars
from quant_assets.common.clock import Clock
from quant_assets.common.settings import Settings
from quant_assets.emulator import simulated_universe
from quant_assets.emulator.exchanges import (
    APIS,
    ExchangeAccounting,
    ExchangeEmulators,
    ExchangeUniverse,
    exchanges_of_universe,
)
from quant_assets.markets import ResolutionRules
from quant_assets.providers.budget import CallBudget
from quant_assets.providers.exchanges.catalogue import EXCHANGE_APIS
from quant_assets.providers.exchanges.client import ExchangeClient
from quant_assets.storage.lake import Lake

DAY_MS = 86_400_000


def serve(ahead: Synchronized[float], pipe: Connection, markets: int, each: int) -> None:
    """Serve the exchanges until told to stop; answer with what one of them counted."""
    universe = exchanges_of_universe(simulated_universe(markets=markets))
    if each:
        universe = with_markets(universe, each)
    with ExchangeEmulators(universe, clock=lambda: datetime.fromtimestamp(time.time() + ahead.value, UTC)) as exchanges:
        pipe.send(exchanges.urls)
        while (asked := pipe.recv()) != "stop":
            name, factor = asked
            if factor:
                exchanges[name].limits_factor = factor
            pipe.send(exchanges[name].accounting)


def with_markets(universe: ExchangeUniverse, count: int) -> ExchangeUniverse:
    """Return a universe with `count` perpetuals on each exchange, which have the bars of those of another."""
    made = {}
    for name, contracts in universe.by_exchange.items():
        usual = [each for each in contracts if each.symbol and not each.inverse and each.quote in ("USDT", "USDC")]
        bases = [f"{each.base}{number}" for number, each in zip(range(count), cycle(usual), strict=False)]
        made[name] = tuple(
            replace(each, id=APIS[name].contract_id(base, each.quote), base=base, symbol="")
            for base, each in zip(bases, cycle(usual), strict=False)
        )
    return ExchangeUniverse(made)


@dataclass
class LocalExchanges:
    """Eight exchanges in a process of their own, whose clock is `ahead` seconds ahead."""

    urls: dict[str, str]
    ahead: Synchronized[float]
    pipe: Connection

    @classmethod
    @contextmanager
    def running(cls, markets: int, each: int = 0) -> Iterator[LocalExchanges]:
        """Run them with about so many markets in all, or with `each` markets on each."""
        context = multiprocessing.get_context("spawn")
        ahead = context.Value("d", 0.0)
        here, there = context.Pipe()
        process = context.Process(target=serve, args=(ahead, there, markets, each), daemon=True)
        process.start()
        try:
            yield cls(here.recv(), ahead, here)
        finally:
            here.send("stop")
            process.join(10)

    def clock(self) -> float:
        return time.time() + self.ahead.value

    def counted(self, name: str) -> ExchangeAccounting:
        return self.scale_limits(name, 0.0)

    def scale_limits(self, name: str, factor: float) -> ExchangeAccounting:
        """Multiply the limits of an exchange, unless by 0, and return what it counted."""
        self.pipe.send((name, factor))
        counted: ExchangeAccounting = self.pipe.recv()
        return counted


class Measured:
    """A fetch of all exchanges, timed."""

    def __init__(self, folder: Path, exchanges: LocalExchanges, stack: ExitStack) -> None:
        self.exchanges, urls = exchanges, exchanges.urls
        self.store = BarStore(Lake(folder / "lake"), folder / "locks")
        settings = Settings(data_dir=folder, exchange_urls=urls)
        self.clients: dict[str, list[ExchangeClient]] = {
            name: stack.enter_context(connected(settings, name, clock=Clock(seconds=self.exchanges.clock)))
            for name in urls
            if name != "HYPERLIQUID"
        }
        unlimited = CallBudget(folder / "budget.sqlite", 1_000_000)
        stack.callback(unlimited.close)
        self.clients["HYPERLIQUID"] = [
            ExchangeClient(EXCHANGE_APIS["HYPERLIQUID"], unlimited, urls["HYPERLIQUID"], clock=self.exchanges.clock)
            for _ in range(3)
        ]
        config = ExchangesConfig(exchanges=tuple(urls), min_quote_volume_24h=0, top=1000)
        began = time.perf_counter()
        found = fetch_exchange_markets(
            config, ResolutionRules(), lambda name: self.clients[name][0].markets(), None, 0.0
        )
        print(f"market lists: {time.perf_counter() - began:.1f} s, {found.problems or 'no problem'}")
        table = found.table[found.table["selected"].astype(bool)]
        self.markets = {name: markets_of(rows_of(table, name)) for name in urls}
        print({name: len(markets) for name, markets in self.markets.items()}, len(table))

    def fetch(self, name: str, days: float, markets: int | None = None) -> tuple[FetchReport, float]:
        began = time.perf_counter()
        report = refresh_bars(
            EXCHANGE_APIS[name],
            self.clients[name],
            self.markets[name][:markets],
            self.store,
            history_from_ms=int(self.exchanges.clock() * 1000 - days * DAY_MS),
            clock=self.exchanges.clock,
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
        exchanges = stack.enter_context(LocalExchanges.running(given.markets))
        exchanges.scale_limits("HYPERLIQUID", 100.0)
        measured = Measured(Path(folder), exchanges, stack)
        measured.all(f"history of {given.days:g} days", given.days)
        exchanges.ahead.value += 900 - (exchanges.clock() % 900) + 1
        measured.all("next window", given.days)
        print("refused by the limits:", {name: exchanges.counted(name).rate_limited for name in exchanges.urls})
        print(f"stored: {measured.store.size() / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
