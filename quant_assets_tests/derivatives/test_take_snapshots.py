"""Snapshots of local exchanges into the store: on time, late, and with faults."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from quant_assets.candles.exchanges.connections import connected
from quant_assets.common.clock import Clock
from quant_assets.common.settings import Settings
from quant_assets.derivatives.store import DerivativesStore, ExchangeSnapshot, StoreError
from quant_assets.derivatives.take_snapshots import SnapshotReport, Snapshots
from quant_assets.emulator import simulated_universe
from quant_assets.emulator.exchanges import ExchangeEmulators, ExchangeFaults, exchanges_of_universe
from quant_assets.emulator.exchanges.venue import DaySummaries, Venue
from quant_assets.providers.exchanges.client import MAX_ATTEMPTS
from quant_assets.providers.exchanges.market import ExchangeMarket
from quant_assets_tests.derivatives.conftest import MovableClock

END = int(datetime(2026, 1, 19, 17, 0, tzinfo=UTC).timestamp())
NAMES = ["BINANCE", "BYBIT"]


class World:
    """Two local exchanges and a store, at a moment that a test moves."""

    def __init__(self, exchanges: ExchangeEmulators, clock: MovableClock, folder: Path) -> None:
        self.exchanges, self.clock, self.folder = exchanges, clock, folder
        self.settings = Settings(data_dir=folder, exchange_urls=exchanges.urls)
        self.markets: dict[str, list[ExchangeMarket]] = {}
        for name in NAMES:
            with connected(self.settings, name, 1, clock=Clock(seconds=clock.seconds)) as (client,):
                listed = client.markets()
            self.markets[name] = [each for each in listed if each.is_linear and each.is_active and each.is_perpetual]

    @contextmanager
    def store(self) -> Iterator[DerivativesStore]:
        with closing(DerivativesStore(self.folder / "store.sqlite")) as store:
            yield store

    def take(self, name: str, seconds: float) -> SnapshotReport:
        """Take a snapshot so many seconds after the window's end."""
        self.clock.moment = datetime.fromtimestamp(END + seconds, UTC)
        snapshots = Snapshots(self.store, lambda _: True, Clock(seconds=self.clock.seconds))
        with connected(self.settings, name, 1, clock=Clock(seconds=self.clock.seconds)) as (client,):
            snapshots.take(name, client, self.markets[name])
        return snapshots.report_of(name)

    def fill_history(self, name: str) -> SnapshotReport:
        """Fill what z-scores need now."""
        snapshots = Snapshots(self.store, lambda _: True, Clock(seconds=self.clock.seconds))
        with connected(self.settings, name, 1, clock=Clock(seconds=self.clock.seconds)) as (client,):
            snapshots.fill_history(name, client, self.markets[name], math.inf, lambda: False)
        return snapshots.report_of(name)

    def stored(self) -> list[ExchangeSnapshot]:
        with self.store() as store:
            return store.snapshots(0, 2**62)


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[ExchangeEmulators, MovableClock]]:
    clock = MovableClock(datetime.fromtimestamp(END, UTC))
    with ExchangeEmulators(exchanges_of_universe(simulated_universe()), names=NAMES, clock=clock) as exchanges:
        yield exchanges, clock


@pytest.fixture
def world(running: tuple[ExchangeEmulators, MovableClock], tmp_path: Path) -> Iterator[World]:
    exchanges, clock = running
    clock.moment = datetime.fromtimestamp(END, UTC)
    yield World(exchanges, clock, tmp_path)
    for name in NAMES:
        exchanges[name].faults = ExchangeFaults()


@pytest.mark.parametrize("name", NAMES)
def test_snapshot_on_time_is_stored_for_the_window_with_when_it_was_seen(world: World, name: str) -> None:
    report = world.take(name, 3)
    markets = len(world.markets[name])
    assert (report.open_interest, report.funding_rate, report.late, report.problem) == (markets, markets, False, "")
    found = world.stored()
    assert {each.symbol for each in found} == {market.symbol for market in world.markets[name]}
    assert {(each.closed_at_ms, each.observed_at_ms, each.simulated) for each in found} == {
        (END * 1000, END * 1000 + 3000, True)
    }
    assert all(each.open_interest and each.funding_rate_pct and each.interval_hours for each in found)


def test_snapshot_is_taken_once_a_window(world: World) -> None:
    world.take("BYBIT", 3)
    before = world.exchanges["BYBIT"].accounting.requests
    assert world.take("BYBIT", 70).open_interest == 0
    assert world.exchanges["BYBIT"].accounting.requests == before
    assert world.take("BYBIT", 903).open_interest == len(world.markets["BYBIT"])


def test_late_snapshot_is_known_from_when_it_was_seen(world: World) -> None:
    assert world.take("BYBIT", 300).late
    assert {each.closed_at_ms for each in world.stored()} == {(END + 300) * 1000}


@pytest.mark.parametrize("fault", ["server_error", "closed", "garbled"])
def test_market_at_fault_costs_its_own_value_which_is_asked_for_again(world: World, fault: str) -> None:
    """Binance is asked for premiums, for intervals, and then for the open interest of each market."""
    exchange, markets = world.exchanges["BINANCE"], len(world.markets["BINANCE"])
    exchange.faults = ExchangeFaults(script=("", "", *[fault] * MAX_ATTEMPTS))
    report = world.take("BINANCE", 3)
    assert (report.open_interest, report.funding_rate) == (markets - 1, markets)
    assert "openInterest" in report.problem
    before = exchange.accounting.requests
    report = world.take("BINANCE", 70)
    assert (report.open_interest, report.funding_rate, report.problem) == (markets, markets, "")
    assert exchange.accounting.requests == before + 1
    found = world.stored()
    assert len(found) == markets
    assert all(each.open_interest and each.funding_rate_pct and each.interval_hours for each in found)
    assert world.take("BINANCE", 80).open_interest == 0
    assert exchange.accounting.requests == before + 1


def test_exchange_that_fails_for_three_markets_in_a_row_is_asked_for_no_more(world: World) -> None:
    exchange, markets = world.exchanges["BINANCE"], len(world.markets["BINANCE"])
    exchange.faults = ExchangeFaults(script=("", "", "", *["server_error"] * (3 * MAX_ATTEMPTS)))
    before = exchange.accounting.requests
    report = world.take("BINANCE", 3)
    assert exchange.accounting.requests == before + 3 + 3 * MAX_ATTEMPTS
    assert (report.open_interest, report.funding_rate) == (1, markets)
    assert "openInterest" in report.problem
    assert world.take("BINANCE", 70).open_interest == markets
    assert len([each for each in world.stored() if each.open_interest and each.funding_rate_pct]) == markets


def test_market_without_any_value_is_asked_for_again_only_on_time(world: World) -> None:
    exchange, known = world.exchanges["BINANCE"], world.markets["BINANCE"]
    world.markets["BINANCE"] = [*known, replace(known[0], symbol="GONEUSDT")]
    assert world.take("BINANCE", 3).open_interest == len(known)
    before = exchange.accounting.requests
    world.take("BINANCE", 70)
    assert exchange.accounting.requests == before + 3  # of all markets two, and its own
    world.take("BINANCE", 200)
    assert exchange.accounting.requests == before + 3


@pytest.mark.parametrize("faults", [ExchangeFaults(down=True), ExchangeFaults(html=1.0), ExchangeFaults(cut=1.0)])
def test_exchange_at_fault_costs_its_own_values_only(world: World, faults: ExchangeFaults) -> None:
    world.exchanges["BYBIT"].faults = faults
    assert "BYBIT" in world.take("BYBIT", 3).problem
    assert world.take("BINANCE", 3).problem == ""
    assert {each.exchange for each in world.stored()} == {"BINANCE"}


@pytest.mark.parametrize("name", NAMES)
def test_history_after_the_first_snapshot_is_that_of_the_market(world: World, name: str) -> None:
    world.markets[name] = world.markets[name][:3]
    world.take(name, 3)
    before = world.exchanges[name].accounting.requests
    assert world.fill_history(name).history == 3
    assert world.exchanges[name].accounting.requests == before + 3
    contracts = {contract.id: contract for contract in world.exchanges[name].contracts}
    venue = Venue(contracts, END, ExchangeFaults(), 0, DaySummaries())
    with world.store() as store:
        for market in world.markets[name]:
            contract = contracts[market.symbol]
            true = venue.open_interest_history(contract, 900, END - 95 * 900, END + 0.5)[1].tolist()
            found = store.snapshots_of(name, market.symbol, 0, 2**62)
            assert len(found) == 96
            # The snapshot was taken three seconds later than the truth's last moment.
            assert [each.open_interest for each in found] == pytest.approx(true, rel=1e-2)
            assert [each.open_interest for each in found[:-1]] == true[:-1]
    assert world.fill_history(name).history == 0


def test_exchange_that_fails_during_history_is_reported(world: World) -> None:
    world.take("BYBIT", 3)
    world.exchanges["BYBIT"].faults = ExchangeFaults(down=True)
    assert "BYBIT" in world.fill_history("BYBIT").problem


def test_store_that_cannot_be_used_is_reported(world: World) -> None:
    (world.folder / "store.sqlite").write_bytes(b"no database" * 1000)
    assert "store.sqlite" in world.take("BYBIT", 3).problem
    with pytest.raises(StoreError):
        world.stored()
