"""Test the faults of the local exchanges: what ccxt makes of each, and what comes after it."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import Any

import ccxt
import pytest
import requests

from quant_assets.emulator.exchanges import HOSTILE_NAMES, ExchangeEmulators, ExchangeFaults, ExchangeUniverse
from quant_assets_tests.emulator.conftest import Clock
from quant_assets_tests.emulator.exchanges.clients import symbol_of
from quant_assets_tests.emulator.exchanges.conftest import NAMES, Connect
from quant_assets_tests.emulator.exchanges.test_exchange_bars import MAX_ROWS, contract_of, raw_opens

#: Classes that make rows of None out of a web page; all others make an empty market of it.
ROWS_OF_NONE = ("BINANCE", "GATE")
#: Names that ccxt writes into the address as they are, so that the server reads others.
UNQUOTED = {
    "BYBIT": {"%2E%2E%2F"},
    "KUCOIN": {"%2E%2E%2F"},
    "MEXC": {"../../ETC", "<SCRIPT>ALERT(1)</SCRIPT>", "=CMD|'/C CALC'!A0", "%2E%2E%2F"},
}


class Market:
    """One market of an exchange, and ccxt's class for it."""

    def __init__(self, name: str, connected: Connect, exchanges: ExchangeEmulators, universe: ExchangeUniverse) -> None:
        self.name = name
        self.exchange = exchanges[name]
        self.contract = contract_of(universe, name)
        self.client = connected(name)
        self.symbol = symbol_of(self.client, self.contract.id)

    def bars(self, count: int = 20, timeframe: str = "15m") -> list[list[Any]]:
        return list(self.client.fetch_ohlcv(self.symbol, timeframe, None, count))


@pytest.fixture(params=NAMES)
def market(
    request: pytest.FixtureRequest,
    connected: Connect,
    exchanges: ExchangeEmulators,
    exchange_universe: ExchangeUniverse,
) -> Market:
    return Market(request.param, connected, exchanges, exchange_universe)


@pytest.fixture
def bybit(connected: Connect, exchanges: ExchangeEmulators, exchange_universe: ExchangeUniverse) -> Market:
    return Market("BYBIT", connected, exchanges, exchange_universe)


def test_server_error_means_not_available(market: Market) -> None:
    market.exchange.faults = ExchangeFaults(seed=2, server_error=1.0)
    for _ in range(4):
        with pytest.raises((ccxt.ExchangeNotAvailable, ccxt.ExchangeError)):
            market.bars()
    assert market.exchange.accounting.faults == {"server_error": 4}


def test_cut_or_closed_connection_means_a_network_error(market: Market) -> None:
    market.exchange.faults = ExchangeFaults(script=("closed", "cut", ""))
    for _ in range(2):
        with pytest.raises(ccxt.NetworkError):
            market.bars()
    assert market.bars()


def test_slow_response_means_a_timeout(market: Market) -> None:
    market.exchange.faults = ExchangeFaults(script=("slow",), delay_seconds=30)
    market.client.timeout = 100
    with pytest.raises(ccxt.RequestTimeout):
        market.bars()


def test_web_page_with_status_200_is_no_error_to_ccxt(market: Market) -> None:
    market.exchange.faults = ExchangeFaults(html=1.0)
    rows = market.bars()
    if market.name in ROWS_OF_NONE:
        assert rows
        assert all(value is None for row in rows for value in row)
    else:
        assert rows == []


def test_garbled_body_is_no_error_to_ccxt(market: Market) -> None:
    market.exchange.faults = ExchangeFaults(garbled=1.0)
    rows = market.bars()
    market.exchange.faults = ExchangeFaults()
    assert rows != market.bars()


def test_exchange_that_is_down_answers_nothing_until_it_is_up(market: Market) -> None:
    before = market.bars()
    market.exchange.faults = ExchangeFaults(down=True)
    with pytest.raises(ccxt.NetworkError):
        market.bars()
    market.exchange.faults = ExchangeFaults()
    assert market.bars() == before


def test_list_can_shrink_and_comes_back(market: Market) -> None:
    market.exchange.limits_factor = 100
    whole = len(market.client.load_markets(True))
    market.exchange.faults = ExchangeFaults(list_share=0.4)
    shrunken = len(market.client.load_markets(True))
    assert 0 < shrunken < 0.7 * whole
    market.exchange.faults = ExchangeFaults()
    assert len(market.client.load_markets(True)) == whole


@pytest.mark.parametrize("seconds", [-600, 90])
def test_clock_of_the_exchange_can_be_off(market: Market, clock: Clock, seconds: int) -> None:
    market.exchange.faults = ExchangeFaults(clock_offset_seconds=seconds)
    assert market.client.fetch_time() // 1000 == clock.seconds + seconds
    date = parsedate_to_datetime(market.client.last_response_headers["Date"])
    assert date.timestamp() == clock.seconds + seconds
    rows = market.bars(3)
    assert rows[-1][0] == (clock.seconds + seconds) // 900 * 900_000


def test_corrected_bar_is_final_only_after_a_while(market: Market, clock: Clock) -> None:
    market.exchange.faults = ExchangeFaults(corrected=1.0, correction_seconds=1800)
    at_first = market.bars(10)
    clock.move(900)
    later = market.bars(10)
    market.exchange.faults = ExchangeFaults()
    true = {row[0]: row for row in market.bars(12)}
    assert [row == true[row[0]] for row in at_first[-6:]] == [True, True, True, False, False, False]
    assert [row == true[row[0]] for row in later[-6:]] == [True, True, True, False, False, True]
    assert all(row[3] <= row[4] <= row[2] for row in at_first)


def test_late_bar_appears_after_its_delay(market: Market, clock: Clock) -> None:
    market.exchange.faults = ExchangeFaults(late=1.0, late_seconds=600)
    newest = clock.seconds // 900 * 900_000
    assert market.bars(10)[-1][0] == newest - 2 * 900_000
    clock.move(600)
    assert market.bars(10)[-1][0] == newest - 900_000


def test_missing_bar_never_appears(bybit: Market, clock: Clock) -> None:
    bybit.exchange.faults = ExchangeFaults(seed=3, missing=0.3)
    opens = [row[0] for row in bybit.bars(200)]
    assert 100 < len(opens) < 180
    clock.move(3600)
    assert [row[0] for row in bybit.bars(204) if row[0] <= opens[-1]] == opens


@pytest.mark.parametrize("name", NAMES)
def test_bars_can_come_twice(name: str, exchanges: ExchangeEmulators, exchange_universe: ExchangeUniverse) -> None:
    contract = contract_of(exchange_universe, name)
    clean = raw_opens(exchanges, name, contract)
    exchanges[name].faults = ExchangeFaults(repeated=0.2)
    opens = raw_opens(exchanges, name, contract)
    assert sorted(set(opens)) == sorted(clean)
    assert MAX_ROWS[name] * 1.1 < len(opens) < MAX_ROWS[name] * 1.35


@pytest.mark.parametrize("name", NAMES)
def test_bars_can_come_out_of_order(
    name: str, exchanges: ExchangeEmulators, exchange_universe: ExchangeUniverse
) -> None:
    contract = contract_of(exchange_universe, name)
    clean = raw_opens(exchanges, name, contract)
    exchanges[name].faults = ExchangeFaults(shuffled=1.0)
    opens = raw_opens(exchanges, name, contract)
    assert opens not in (clean, clean[::-1])
    assert sorted(opens) == sorted(clean)


def test_hostile_names_are_listed_and_have_bars(market: Market) -> None:
    market.exchange.limits_factor = 100
    market.exchange.faults = ExchangeFaults(hostile_names=HOSTILE_NAMES)
    market.client.load_markets(True)
    listed = {row.get("baseName") or row["baseId"]: row["symbol"] for row in market.client.markets.values()}
    # ccxt splits the ids of OKX at their hyphens.
    assert set(HOSTILE_NAMES) - set(listed) == ({"A'; DROP TABLE BARS;--"} if market.name == "OKX" else set())
    refused = set()
    for name in set(HOSTILE_NAMES) & set(listed):
        try:
            assert len(market.client.fetch_ohlcv(listed[name], "15m", None, 3)) == 3
        except ccxt.BaseError:
            refused.add(name)
    assert refused == UNQUOTED.get(market.name, set())


def test_faults_depend_on_the_seed_alone(bybit: Market) -> None:
    def outcomes(seed: int) -> list[str]:
        bybit.exchange.faults = ExchangeFaults(seed=seed, server_error=0.2, closed=0.2, html=0.2)
        found = []
        for _ in range(30):
            try:
                answer = requests.get(bybit.exchange.url + "/v5/market/time", timeout=5)
                found.append(f"{answer.status_code} {answer.headers['Content-Type']}")
            except requests.ConnectionError:
                found.append("closed")
        return found

    assert outcomes(1) == outcomes(1)
    assert outcomes(1) != outcomes(2)


@pytest.mark.parametrize("bad", [{"late": 1.5}, {"list_share": -0.1}, {"html": 0.8, "cut": 0.4}, {"script": ("no",)}])
def test_invalid_faults_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"Invalid shares?|Unknown faults"):
        ExchangeFaults(**bad)
