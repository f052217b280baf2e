"""Test the market lists of the local exchanges with ccxt's own classes."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import requests

from quant_assets.emulator import simulated_universe
from quant_assets.emulator.exchanges import ExchangeEmulators, ExchangeUniverse, exchanges_of_universe
from quant_assets_tests.emulator.conftest import Clock
from quant_assets_tests.emulator.exchanges.clients import symbol_of
from quant_assets_tests.emulator.exchanges.conftest import NAMES, Connect

#: How many requests ccxt's load_markets makes by default, and with the options for perpetuals alone.
REQUESTS = {
    "BINANCE": (1, 1),
    "BITGET": (9, 6),
    "BYBIT": (11, 2),
    "GATE": (7, 1),
    "KUCOIN": (2, 1),
    "MEXC": (2, 2),
    "OKX": (5, 1),
}


@pytest.mark.parametrize("name", NAMES)
def test_every_scanned_market_is_listed_by_its_own_id(
    name: str, connected: Connect, exchange_universe: ExchangeUniverse
) -> None:
    client = connected(name, minimal=False)
    scanned = [contract for contract in exchange_universe.contracts(name) if contract.symbol]
    if name == "BINANCE":
        scanned = [contract for contract in scanned if not contract.inverse]  # those are on another host
    assert scanned
    for contract in scanned:
        market = client.markets[symbol_of(client, contract.id)]
        assert market["swap"]
        assert market["active"]
        assert market["linear"] is not contract.inverse
        if name != "HYPERLIQUID":  # it sends no tick: ccxt guesses one from the price
            assert market["precision"]["price"] == pytest.approx(contract.tick)
        assert market["contractSize"] == (1 if contract.inverse and name == "KUCOIN" else contract.size)


@pytest.mark.parametrize("name", NAMES)
def test_list_has_contracts_that_no_scan_wants(
    name: str, connected: Connect, exchange_universe: ExchangeUniverse
) -> None:
    markets = connected(name, minimal=False).markets.values()
    kinds = Counter[str]()
    for market in markets:
        kinds["dated"] += market["expiry"] is not None
        kinds["inverse"] += market["inverse"] is True
        kinds["delisted"] += market["active"] is False
        kinds["multiplied"] += market["baseId"].startswith("1000") or (market.get("baseName") or "").startswith("k")
        kinds["multiplied"] += (market["contractSize"] or 1) > 1000
    expected = {
        "BINANCE": {"dated", "delisted", "multiplied"},
        "BITGET": {"dated", "inverse", "delisted"},
        "BYBIT": {"dated", "inverse", "delisted", "multiplied"},
        "GATE": {"dated", "inverse", "delisted", "multiplied"},
        "HYPERLIQUID": {"delisted", "multiplied"},
        "KUCOIN": {"dated", "inverse", "multiplied"},
        "MEXC": {"inverse", "delisted", "multiplied"},
        "OKX": {"dated", "inverse", "delisted", "multiplied"},
    }
    assert expected[name] <= {kind for kind, count in kinds.items() if count}


@pytest.mark.parametrize("minimal", [False, True], ids=["default", "perpetuals"])
@pytest.mark.parametrize("name", [name for name in NAMES if name in REQUESTS])
def test_load_markets_makes_as_many_requests_as_recorded(
    name: str, minimal: bool, connected: Connect, exchanges: ExchangeEmulators
) -> None:
    connected(name, minimal=minimal)
    assert exchanges[name].accounting.requests == REQUESTS[name][minimal]
    assert exchanges[name].accounting.refused == 0


def test_contract_appears_in_the_list_when_it_is_listed(
    exchanges: ExchangeEmulators, exchange_universe: ExchangeUniverse, clock: Clock
) -> None:
    contract = exchange_universe.contracts("BYBIT")[0]
    clock.move(contract.listed - clock.moment.timestamp() - 1)
    assert contract.id not in listed(exchanges)
    clock.move(2)
    assert contract.id in listed(exchanges)


def listed(exchanges: ExchangeEmulators, **fields: Any) -> list[str]:
    """Return the linear contracts of Bybit's list, page by page."""
    found: list[str] = []
    cursor = ""
    while True:
        answer = requests.get(
            exchanges["BYBIT"].url + "/v5/market/instruments-info",
            params={"category": "linear", "limit": 4, "cursor": cursor, **fields},
            timeout=5,
        ).json()["result"]
        found += [row["symbol"] for row in answer["list"]]
        cursor = answer["nextPageCursor"]
        if not cursor:
            return found


def test_list_comes_in_pages(exchanges: ExchangeEmulators, exchange_universe: ExchangeUniverse) -> None:
    linear = [contract.id for contract in exchange_universe.contracts("BYBIT") if not contract.inverse]
    assert listed(exchanges) == linear
    assert listed(exchanges, status="Closed") == ["USELESSUSDT"]


def test_universe_has_1100_markets_and_is_always_the_same() -> None:
    universe = exchanges_of_universe(simulated_universe(markets=1100))
    again = exchanges_of_universe(simulated_universe(markets=1100))
    assert universe == again
    assert universe.simulated is not None
    assert len(universe.simulated.scanned) == 1100
    with_files = [contract for name in NAMES for contract in universe.contracts(name) if contract.symbol]
    ids = {(name, contract.id) for name in NAMES for contract in universe.contracts(name)}
    assert len(ids) == sum(len(universe.contracts(name)) for name in NAMES)
    assert len(with_files) == sum(scanned.exchange in NAMES for scanned in universe.simulated.scanned)
    assert len(universe.contracts("HYPERLIQUID")) >= 290
