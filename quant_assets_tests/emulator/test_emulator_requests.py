"""Test what the emulator accepts, refuses and lists."""

from __future__ import annotations

import socket
import statistics
from urllib.parse import urlsplit

import pytest
import requests

from quant_assets.emulator import Emulator

HISTORY = {"symbols": "BTCUSDT_PERP.A", "interval": "15min", "from_": 1_768_840_000, "to": 1_768_842_000}


def test_exchanges_have_names_and_codes_without_mexc_and_kucoin(get):
    exchanges = {row["code"]: row["name"] for row in get("/exchanges").json()}
    assert 26 <= len(exchanges) <= 28
    assert (exchanges["A"], exchanges["6"], exchanges["Y"]) == ("Binance", "Bybit", "Gate.io")
    assert not {"MEXC", "KuCoin", "Bitget"} & set(exchanges.values())


def test_market_list_row_has_the_fields_of_the_api(get):
    row = get("/future-markets").json()[0]
    assert row == {
        "symbol": "BTCUSDT_PERP.A",
        "exchange": "A",
        "symbol_on_exchange": "BTCUSDT",
        "base_asset": "BTC",
        "quote_asset": "USDT",
        "is_perpetual": True,
        "margined": "STABLE",
        "expire_at": None,
        "oi_lq_vol_denominated_in": "BASE_ASSET",
        "has_long_short_ratio_data": True,
        "has_ohlcv_data": True,
        "has_buy_sell_data": True,
    }


def test_spot_markets_are_listed(get):
    assert {"symbol", "exchange", "base_asset", "quote_asset"} <= set(get("/spot-markets").json()[0])


@pytest.mark.parametrize("headers", [{}, {"api_key": "wrong"}])
def test_missing_or_wrong_key_gives_401(emulator: Emulator, headers):
    answer = requests.get(emulator.url + "/exchanges", headers=headers, timeout=5)
    assert answer.status_code == 401
    assert answer.json()["message"]
    assert emulator.accounting.calls == 0


def test_a_key_in_the_query_works_too(emulator: Emulator):
    assert requests.get(emulator.url + "/exchanges", params={"api_key": "right"}, timeout=5).status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        {"interval": "7min"},
        {"interval": None},
        {"symbols": None},
        {"symbols": ""},
        {"symbols": "BTCUSDT_PERP.A,"},
        {"symbols": ",".join(f"S{number}" for number in range(21))},
        {"from_": 1_768_842_001},
        {"from_": "yesterday"},
        {"to": None},
        {"to": "1768842000.5"},
        {"convert_to_usd": "yes"},
    ],
)
def test_invalid_parameter_gives_400_and_costs_no_call(get, emulator: Emulator, change):
    answer = get("/open-interest-history", **HISTORY | change)
    assert answer.status_code == 400
    assert answer.json()["message"]
    assert (emulator.accounting.calls, emulator.accounting.refused) == (0, 1)


def test_twenty_symbols_are_served(get):
    symbols = ",".join(["BTCUSDT_PERP.A"] * 20)
    assert len(get("/open-interest-history", **HISTORY | {"symbols": symbols}).json()) == 20


@pytest.mark.parametrize("path", ["/open-interests", "", "/../exchanges"])
def test_unknown_path_gives_404(get, path):
    assert get(path).status_code == 404


def test_other_methods_are_refused_as_json(emulator: Emulator):
    answer = requests.post(emulator.url + "/exchanges", headers={"api_key": "right"}, timeout=5)
    assert answer.status_code == 501
    assert answer.json()["message"]


def test_every_response_is_marked_simulated(get, emulator: Emulator):
    emulator.spend(40)
    answers = [get("/nowhere"), get("/exchanges"), requests.get(emulator.url + "/exchanges", timeout=5)]
    emulator.calls_per_minute = 100
    answers.append(get("/exchanges"))
    assert [answer.status_code for answer in answers] == [404, 429, 401, 200]
    assert {answer.headers["X-Simulated"] for answer in answers} == {"true"}


def test_symbols_outside_ascii_are_served(get):
    (series,) = get("/open-interest-history", **HISTORY | {"symbols": "龙虾USDT_PERP.A"}).json()
    assert series["symbol"] == "龙虾USDT_PERP.A"
    assert series["history"]


def test_many_requests_on_one_connection_are_fast(get, clock):
    seconds = [get("/exchanges").elapsed.total_seconds() for _ in range(31)]
    assert statistics.median(seconds) < 0.03  # a response that waits for an acknowledgement takes 0.04 s


def test_listens_on_loopback_only(emulator: Emulator):
    port = urlsplit(emulator.url).port
    assert emulator.url == f"http://127.0.0.1:{port}/v1"
    with pytest.raises((ConnectionError, TimeoutError)):
        socket.create_connection(("127.0.0.2", port), timeout=1)


def test_stopped_emulator_closes_open_connections(universe):
    emulator = Emulator(universe, key="right").start()
    with requests.Session() as session:
        session.headers["api_key"] = "right"
        assert session.get(emulator.url + "/exchanges", timeout=5).ok
        emulator.stop()
        with pytest.raises(requests.ConnectionError):
            session.get(emulator.url + "/exchanges", timeout=5)
