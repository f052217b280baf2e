"""Test the emulator under load: fast for thousands of symbols, exact with many threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from quant_assets.emulator import Emulator, plain_universe
from quant_assets_tests.speed import assert_within


@pytest.mark.speed
@pytest.mark.parametrize("endpoint", ["/open-interest-history", "/liquidation-history"])
def test_history_of_20_symbols_takes_milliseconds(clock, endpoint):
    universe = plain_universe(400)
    symbols = list(universe.listings)
    span = {"interval": "15min", "from": clock.seconds - 144 * 900, "to": clock.seconds}
    with Emulator(universe, calls_per_minute=100_000, clock=clock) as emulator, requests.Session() as session:
        session.headers["api_key"] = emulator.key

        def ask() -> None:
            for at in range(0, 400, 20):
                params = {"symbols": ",".join(symbols[at : at + 20]), **span}
                assert len(session.get(emulator.url + endpoint, params=params, timeout=30).json()) == 20

        assert_within(20 * 0.05, ask)


def test_threads_together_cannot_exceed_the_limit(clock):
    with Emulator(plain_universe(1), calls_per_minute=40, clock=clock) as emulator:

        def ask(_):
            headers = {"api_key": emulator.key}
            return requests.get(emulator.url + "/exchanges", headers=headers, timeout=5).status_code

        with ThreadPoolExecutor(8) as threads:
            statuses = list(threads.map(ask, range(100)))
        assert (statuses.count(200), statuses.count(429)) == (40, 60)
        assert (emulator.accounting.calls, emulator.accounting.rate_limited) == (40, 60)


def test_list_of_5000_rows_is_served(clock):
    with Emulator(plain_universe(5_000), clock=clock) as emulator:
        answer = requests.get(emulator.url + "/future-markets", headers={"api_key": emulator.key}, timeout=5)
    assert len({row["symbol"] for row in answer.json()}) == 5_000
