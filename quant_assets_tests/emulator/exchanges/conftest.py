"""Provide running local exchanges with the clock of a test, and ccxt's classes connected to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from quant_assets.emulator import simulated_universe
from quant_assets.emulator.exchanges import APIS, ExchangeEmulators, ExchangeUniverse, exchanges_of_universe
from quant_assets_tests.emulator.conftest import Clock
from quant_assets_tests.emulator.exchanges.clients import connect

NAMES = sorted(APIS)


@pytest.fixture(scope="session")
def exchange_universe() -> ExchangeUniverse:
    return exchanges_of_universe(simulated_universe())


@pytest.fixture
def exchanges(exchange_universe: ExchangeUniverse, clock: Clock) -> Iterator[ExchangeEmulators]:
    with ExchangeEmulators(exchange_universe, clock=clock) as running:
        yield running


Connect = Callable[..., Any]


@pytest.fixture
def connected(exchanges: ExchangeEmulators, clock: Clock) -> Connect:
    """Return a function that gives ccxt's class of an exchange with its markets loaded."""

    def of(name: str, *, minimal: bool = True, loaded: bool = True) -> Any:
        url = exchanges[name].url
        client = connect(name, url, lambda: int(clock.moment.timestamp() * 1000), minimal=minimal)
        if loaded:
            client.load_markets()
        return client

    return of
