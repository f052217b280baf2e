"""Provide a manual clock, an emulator that uses it, and a session with the key."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from quant_assets.emulator import Emulator, SimulatedUniverse, simulated_universe


class Clock:
    """A clock that changes only when a test moves it."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 1, 19, 17, 5, 3, 250_000, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.moment

    @property
    def seconds(self) -> int:
        return int(self.moment.timestamp())

    def move(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


Get = Callable[..., requests.Response]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def universe() -> SimulatedUniverse:
    return simulated_universe()


@pytest.fixture
def emulator(universe: SimulatedUniverse, clock: Clock) -> Iterator[Emulator]:
    with Emulator(universe, key="right", clock=clock) as running:
        yield running


@pytest.fixture
def get(emulator: Emulator) -> Iterator[Get]:
    """Send requests to the emulator; `from_` becomes the parameter `from`."""
    with requests.Session() as session:
        session.headers["api_key"] = "right"

        def ask(endpoint: str, **parameters: Any) -> requests.Response:
            renamed = {name.rstrip("_"): value for name, value in parameters.items()}
            return session.get(emulator.url + endpoint, params=renamed, timeout=5)

        yield ask


@pytest.fixture
def history(get: Get, clock: Clock) -> Callable[..., list[dict[str, Any]]]:
    """Request the history of one symbol, by default 15-minute points of the last day."""

    def ask(endpoint: str, symbol: str, **parameters: Any) -> list[dict[str, Any]]:
        span = {"interval": "15min", "from_": clock.seconds - 86_400, "to": clock.seconds} | parameters
        (series,) = get(endpoint, symbols=symbol, **span).json()
        assert series["symbol"] == symbol
        return list(series["history"])

    return ask
