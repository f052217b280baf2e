"""Fixtures of the fault tests: a refresh through a proxy that can alter responses, and the stored result."""

from __future__ import annotations

import shutil
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from quant_assets.derivatives.datasets import BAR_SECONDS, SPECS
from quant_assets.derivatives.report import RefreshReport
from quant_assets.emulator import DEFAULT_KEY, Emulator, Universe, plain_universe
from quant_assets.orchestration.scan import ScanResult
from quant_assets.providers.coinalyze import CoinalyzeClient
from quant_assets_tests.derivatives.conftest import MovableClock, Provider
from quant_assets_tests.faults.exchange_world import ExchangeWorld, exchange_world
from quant_assets_tests.faults.proxy import FaultyProxy
from quant_assets_tests.world import World, kept_in_memory

#: Two requests for each of four datasets, the second of two symbols.
MARKETS = 22
#: As many bars as the assertions need; more would only take longer.
BARS = 16
CALLS_PER_MINUTE = 6000
Stored = dict[str, list[tuple[Any, ...]]]


@dataclass
class Sweep:
    """A refresh of plain markets through a proxy, on one virtual clock."""

    provider: Provider
    proxy: FaultyProxy

    def client(self, key: str | None = DEFAULT_KEY, url: str = "", **options: object) -> CoinalyzeClient:
        return self.provider.client(key, url or self.proxy.url, **options)

    def refresh(self, **options: Any) -> tuple[pd.DataFrame, RefreshReport]:
        return self.provider.refresh(**{"client": self.client(), **options})

    def stored(self) -> Stored:
        """Return the rows of the store's tables: bars, requested ranges, answered symbols and empty ones."""
        return stored_in(self.provider.folder)


def stored_in(folder: Path) -> Stored:
    with closing(sqlite3.connect(folder / "derivatives.sqlite")) as connection:
        tables = {name: f"SELECT * FROM {name} ORDER BY symbol, t" for name in SPECS}
        tables["fetched_ranges"] = "SELECT * FROM fetched_ranges ORDER BY dataset, symbol, start"
        tables["served_symbols"] = "SELECT * FROM served_symbols ORDER BY dataset, symbol"
        tables["empty_responses"] = "SELECT dataset, symbol FROM empty_responses ORDER BY dataset, symbol"
        return {name: connection.execute(sql).fetchall() for name, sql in tables.items()}


@contextmanager
def sweep_in(folder: Path) -> Iterator[Sweep]:
    clock = MovableClock()
    begins = int(clock.seconds()) // BAR_SECONDS * BAR_SECONDS - BARS * BAR_SECONDS
    plain = plain_universe(MARKETS)
    universe = Universe.of(
        replace(listing, source=replace(listing.source, begins=begins)) for listing in plain.listings.values()
    )
    with ExitStack() as stack:
        emulator = stack.enter_context(Emulator(universe, calls_per_minute=CALLS_PER_MINUTE, clock=clock))
        proxy = stack.enter_context(FaultyProxy(emulator))
        yield Sweep(Provider(emulator, clock, folder, stack, CALLS_PER_MINUTE), proxy)


@pytest.fixture
def sweep(tmp_path: Path) -> Iterator[Sweep]:
    with sweep_in(tmp_path) as made:
        yield made


@pytest.fixture(scope="session")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    """Return what a refresh stores without faults."""
    with sweep_in(tmp_path_factory.mktemp("clean")) as made:
        made.refresh()
        return made.stored()


@dataclass(frozen=True)
class Scanned:
    """A world, and the folder and the result of a scan of its market without faults."""

    world: World
    folder: Path
    result: ScanResult

    @property
    def name(self) -> str:
        """Return the name of the folder."""
        return self.folder.name

    def copied(self, name: str) -> Path:
        """Copy the data folder of this scan to one of another name, and return it."""
        target = self.world.folder / name
        shutil.copytree(self.folder, target)
        return target


@pytest.fixture(scope="session")
def clean_scan(market: World) -> ScanResult:
    with kept_in_memory(market) as kept:
        return kept.scan("faults_clean")


@pytest.fixture(scope="module")
def scanned(market: World, world: World, clean_scan: ScanResult) -> Iterator[Scanned]:
    with kept_in_memory(world) as kept:
        yield Scanned(kept, market.folder / "faults_clean", clean_scan)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExchangeWorld]:
    """Serve some local exchanges."""
    with exchange_world(tmp_path_factory.mktemp("exchanges")) as made:
        yield made


@pytest.fixture
def local(served: ExchangeWorld, tmp_path: Path) -> Iterator[ExchangeWorld]:
    """Return local exchanges without faults, and data folders of this test's own."""
    served.reset()
    yield replace(served, folder=tmp_path)
    served.reset()


@pytest.fixture
def fail_after_a_minute() -> Iterator[None]:
    """Fail a test that waits for more than a minute."""

    def fail(*_: object) -> None:
        raise AssertionError("waited for a minute")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(60)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
