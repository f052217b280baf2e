"""Test the limits of the local exchanges, and how each one refuses, with ccxt's own classes."""

from __future__ import annotations

from typing import Any

import ccxt
import pytest
import requests

from quant_assets.emulator.exchanges import APIS, ExchangeEmulators, ExchangeFaults, ExchangeUniverse
from quant_assets_tests.emulator.conftest import Clock
from quant_assets_tests.emulator.exchanges.clients import symbol_of
from quant_assets_tests.emulator.exchanges.conftest import NAMES, Connect
from quant_assets_tests.emulator.exchanges.test_exchange_bars import contract_of

#: What ccxt raises beyond the limit, and for a contract that the exchange does not know.
TOO_MANY = dict.fromkeys(NAMES, ccxt.RateLimitExceeded) | {
    "BINANCE": ccxt.DDoSProtection,
    "BITGET": ccxt.DDoSProtection,
}
UNKNOWN = {
    "BINANCE": ccxt.BadSymbol,
    "BITGET": ccxt.ExchangeError,
    "BYBIT": ccxt.BadRequest,
    "GATE": ccxt.BadSymbol,
    "HYPERLIQUID": ccxt.ExchangeNotAvailable,
    "KUCOIN": ccxt.OrderNotFound,
    "MEXC": ccxt.BadSymbol,
    "OKX": ccxt.BadSymbol,
}
#: Weight of a request for 100 15-minute bars, and the limit: weight and seconds.
BARS = {
    "BINANCE": (2, 2400, 60),
    "BITGET": (1, 20, 1),
    "BYBIT": (1, 600, 5),
    "GATE": (1, 200, 10),
    "HYPERLIQUID": (21, 1200, 60),
    "KUCOIN": (3, 2000, 30),
    "MEXC": (1, 20, 2),
    "OKX": (1, 40, 2),
}


def bars(client: Any, symbol: str, count: int = 100) -> Any:
    return client.fetch_ohlcv(symbol, "15m", None, count)


@pytest.mark.parametrize("name", NAMES)
def test_limit_is_that_of_the_documentation_and_ccxt_reads_the_refusal(
    name: str, connected: Connect, exchange_universe: ExchangeUniverse, exchanges: ExchangeEmulators, clock: Clock
) -> None:
    weight, limit, seconds = BARS[name]
    client, contract = connected(name), contract_of(exchange_universe, name)
    symbol = symbol_of(client, contract.id)
    exchanges[name].limits_factor = 8 * weight / limit
    before = exchanges[name].accounting
    for _ in range(8):
        bars(client, symbol)
    after = exchanges[name].accounting
    assert after.weight - before.weight == 8 * weight
    with pytest.raises(TOO_MANY[name]):
        bars(client, symbol)
    assert exchanges[name].accounting.weight == after.weight
    assert exchanges[name].accounting.rate_limited == 1
    clock.move((600 if name == "BYBIT" else seconds) - 0.01)  # Bybit bans
    with pytest.raises(TOO_MANY[name]):
        bars(client, symbol)
    clock.move(0.01)
    bars(client, symbol)


def test_weight_of_binance_bars_follows_their_number(
    connected: Connect, exchanges: ExchangeEmulators, clock: Clock
) -> None:
    client = connected("BINANCE")
    for count, weight in ((99, 1), (100, 2), (499, 2), (500, 5), (1000, 5), (1500, 10)):
        before = exchanges["BINANCE"].accounting.weight
        client.fapiPublicGetKlines({"symbol": "BTCUSDT", "interval": "15m", "limit": count})
        assert exchanges["BINANCE"].accounting.weight - before == weight
    assert client.last_response_headers["X-MBX-USED-WEIGHT-1M"] == str(exchanges["BINANCE"].accounting.weight)


def test_weight_of_hyperliquid_bars_follows_their_number(connected: Connect, exchanges: ExchangeEmulators) -> None:
    client = connected("HYPERLIQUID")
    for count, weight in ((10, 20), (100, 21), (1500, 45)):
        before = exchanges["HYPERLIQUID"].accounting.weight
        bars(client, "BTC/USDC:USDC", count)
        assert exchanges["HYPERLIQUID"].accounting.weight - before == weight


def test_limit_of_an_endpoint_does_not_block_another(connected: Connect, exchanges: ExchangeEmulators) -> None:
    client = connected("OKX")
    for _ in range(40):
        bars(client, "BTC/USDT:USDT", 3)
    with pytest.raises(ccxt.RateLimitExceeded):
        bars(client, "BTC/USDT:USDT", 3)
    assert client.fetch_tickers()


def test_another_client_of_the_same_address_spends_too(exchanges: ExchangeEmulators, clock: Clock) -> None:
    exchanges["BINANCE"].spend(2400)
    url = exchanges["BINANCE"].url + "/fapi/v1/time"
    assert requests.get(url, timeout=5).status_code == 429
    clock.move(60)
    assert requests.get(url, timeout=5).ok
    exchanges["OKX"].spend(40, "GET /api/v5/market/candles")
    fields = {"instId": "BTC-USDT-SWAP", "bar": "15m"}
    assert requests.get(exchanges["OKX"].url + "/api/v5/market/candles", fields, timeout=5).status_code == 429
    assert requests.get(exchanges["OKX"].url + "/api/v5/market/history-candles", fields, timeout=5).ok
    assert exchanges["OKX"].accounting.weight == 1


def test_bybit_bans_for_ten_minutes_with_403(exchanges: ExchangeEmulators, clock: Clock) -> None:
    exchanges["BYBIT"].limits_factor = 0.0
    url = exchanges["BYBIT"].url + "/v5/market/time"
    answers = [requests.get(url, timeout=5) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 403, 403]
    assert answers[-1].text == "access too frequent"
    clock.move(599)
    assert requests.get(url, timeout=5).status_code == 403
    clock.move(2)
    assert requests.get(url, timeout=5).ok
    accounting = exchanges["BYBIT"].accounting
    assert (accounting.rate_limited, accounting.banned) == (1, 2)


def test_binance_warns_with_429_and_bans_with_418(exchanges: ExchangeEmulators, clock: Clock) -> None:
    exchanges["BINANCE"].limits_factor = 0.0
    url = exchanges["BINANCE"].url + "/fapi/v1/time"
    answers = [requests.get(url, timeout=5) for _ in range(12)]
    assert [answer.status_code for answer in answers] == [200, *[429] * 10, 418]
    assert answers[1].headers["Retry-After"] == "60"
    assert answers[-1].headers["Retry-After"] == "120"
    assert answers[-1].json()["code"] == -1003
    clock.move(120)
    assert requests.get(url, timeout=5).ok


@pytest.mark.parametrize(
    ("name", "headers"),
    [
        ("KUCOIN", {"gw-ratelimit-limit": "3", "gw-ratelimit-remaining": "0"}),
        ("GATE", {"X-Gate-RateLimit-Limit": "1", "X-Gate-RateLimit-Requests-Remain": "0"}),
    ],
)
def test_headers_say_what_is_left(name: str, headers: dict[str, str], exchanges: ExchangeEmulators) -> None:
    exchanges[name].limits_factor = 3 / 2000 if name == "KUCOIN" else 0.0
    path = "/api/v1/contracts/active" if name == "KUCOIN" else "/api/v4/futures/usdt/contracts"
    for expected in (200, 429):
        answer = requests.get(exchanges[name].url + path, timeout=5)
        assert answer.status_code == expected
        assert headers.items() <= dict(answer.headers).items()


@pytest.mark.parametrize("name", NAMES)
def test_ban_lasts_as_long_as_it_was_set(
    name: str, connected: Connect, exchanges: ExchangeEmulators, exchange_universe: ExchangeUniverse, clock: Clock
) -> None:
    client, contract = connected(name), contract_of(exchange_universe, name)
    symbol = symbol_of(client, contract.id)
    exchanges[name].faults = ExchangeFaults(ban_seconds=300)
    for _ in range(2):
        with pytest.raises((ccxt.RateLimitExceeded, ccxt.DDoSProtection)):
            bars(client, symbol, 3)
    assert exchanges[name].accounting.banned == 2
    clock.move(301)
    assert bars(client, symbol, 3)


@pytest.mark.parametrize("name", NAMES)
def test_unknown_contract_is_refused_as_recorded(
    name: str, connected: Connect, exchanges: ExchangeEmulators, exchange_universe: ExchangeUniverse
) -> None:
    client, contract = connected(name), contract_of(exchange_universe, name)
    symbol = symbol_of(client, contract.id)
    market = client.markets[symbol]
    market["id"] = market["baseName"] = "NOSUCH_USDT"
    with pytest.raises(UNKNOWN[name]):
        bars(client, symbol, 3)
    assert exchanges[name].accounting.refused == 1


@pytest.mark.parametrize("name", NAMES)
def test_unknown_path_is_refused(name: str, exchanges: ExchangeEmulators) -> None:
    answer = requests.get(exchanges[name].url + "/no/such/path", timeout=5)
    assert answer.status_code in (404, 422)
    assert exchanges[name].accounting.refused == 1
    assert exchanges[name].accounting.weight == 0


@pytest.mark.parametrize("name", NAMES)
def test_bad_interval_is_refused(name: str, connected: Connect, exchange_universe: ExchangeUniverse) -> None:
    client, contract = connected(name), contract_of(exchange_universe, name)
    with pytest.raises(ccxt.BaseError):
        client.fetch_ohlcv(symbol_of(client, contract.id), "7m", None, 3)


def test_every_api_has_a_limit_that_a_factor_scales(exchanges: ExchangeEmulators) -> None:
    for name in APIS:
        assert exchanges[name].limits_factor == 1.0
        exchanges[name].limits_factor = 2.5
        assert exchanges[name].limits_factor == 2.5


def test_accounting_remembers_which_contract_was_asked_for(connected: Connect, exchanges: ExchangeEmulators) -> None:
    bars(connected("MEXC"), "PUMP/USDT:USDT", 3)
    asked = exchanges["MEXC"].accounting.accepted[-1]
    assert (asked.endpoint, asked.contract, asked.weight) == ("GET /api/v1/contract/kline/{}", "PUMP_USDT", 1)
