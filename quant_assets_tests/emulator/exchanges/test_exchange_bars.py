"""Test the bars of the local exchanges with ccxt's own classes, and as they are sent."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import requests

from quant_assets.emulator import simulate_candles
from quant_assets.emulator.exchanges import APIS, ExchangeEmulators, ExchangeUniverse
from quant_assets.emulator.exchanges.contract import Contract
from quant_assets_tests.emulator.conftest import Clock
from quant_assets_tests.emulator.exchanges.clients import symbol_of
from quant_assets_tests.emulator.exchanges.conftest import NAMES, Connect

SECONDS = {"15m": 900, "1h": 3600, "4h": 14_400}
#: How many rows one request gives at most, and whether the newest comes first.
MAX_ROWS = {
    "BINANCE": 1500,
    "BITGET": 1000,
    "BYBIT": 1000,
    "GATE": 2000,
    "HYPERLIQUID": 5000,
    "KUCOIN": 200,
    "MEXC": 2000,
    "OKX": 300,
}
NEWEST_FIRST = {"BYBIT", "OKX"}
IN_SECONDS = {"GATE", "MEXC"}
END_IS_EXCLUSIVE = {"BITGET", "OKX"}


def contract_of(universe: ExchangeUniverse, name: str) -> Contract:
    """Return a scanned perpetual that is not a coin-margined one."""
    return next(contract for contract in universe.contracts(name) if contract.symbol and not contract.inverse)


def expected(universe: ExchangeUniverse, name: str, contract: Contract, seconds: int, count: int, now: float) -> Any:
    """Return the newest candles of the simulated market as ccxt gives them."""
    assert universe.simulated is not None
    (scanned,) = [
        scanned
        for scanned in universe.simulated.scanned
        if (scanned.exchange, scanned.symbol) == (name, contract.symbol)
    ]
    newest = int(now) // seconds * seconds
    candles = simulate_candles(
        universe.simulated.seed, scanned.market, seconds, newest - (count - 1) * seconds, newest + 1, now
    )
    return [[t * 1000, *values] for t, *values in zip(*(column.tolist() for column in candles), strict=True)]


def in_base_units(name: str, contract: Contract, rows: list[list[float]]) -> list[list[float]]:
    """Return ccxt's rows with volumes in units of the base; it leaves contracts as the API sends them."""
    counted = APIS[name].counts_contracts and name != "OKX"
    return [[*row[:5], round(row[5] * contract.size, 6) if counted else row[5]] for row in rows]


@pytest.mark.parametrize("timeframe", ["15m", "4h"])
@pytest.mark.parametrize("name", NAMES)
def test_bars_equal_the_simulated_candles_open_bar_included(
    name: str, timeframe: str, connected: Connect, exchange_universe: ExchangeUniverse, clock: Clock
) -> None:
    client, contract = connected(name), contract_of(exchange_universe, name)
    count = 120
    rows = client.fetch_ohlcv(symbol_of(client, contract.id), timeframe, None, count)
    seconds = SECONDS[timeframe]
    now = clock.moment.timestamp()
    bars = expected(exchange_universe, name, contract, seconds, count, now)
    assert rows[-1][0] + seconds * 1000 > now * 1000
    # Those that ask from `now - count * bar` get the bars that open after it.
    assert len(rows) in (count, count - 1, count + 1)
    assert in_base_units(name, contract, rows)[-count + 1 :] == bars[-count + 1 :]


@pytest.mark.parametrize("name", NAMES)
def test_bar_in_progress_changes_until_it_closes(name: str, connected: Connect, clock: Clock) -> None:
    client = connected(name)
    symbol = next(
        symbol for symbol, market in client.markets.items() if market["linear"] and market["swap"] and market["active"]
    )
    before = client.fetch_ohlcv(symbol, "15m", None, 3)[-1]
    clock.move(300)
    during = client.fetch_ohlcv(symbol, "15m", None, 3)[-1]
    clock.move(900)
    closed, following = client.fetch_ohlcv(symbol, "15m", None, 3)[-2:]
    clock.move(900)
    assert before[0] == during[0] == closed[0] == following[0] - 900_000
    assert before[5] < during[5] < closed[5]
    assert closed in client.fetch_ohlcv(symbol, "15m", None, 4)


@pytest.mark.parametrize("name", NAMES)
def test_history_can_be_paged_without_a_hole(name: str, connected: Connect, clock: Clock) -> None:
    client = connected(name)
    symbol = next(
        symbol for symbol, market in client.markets.items() if market["linear"] and market["swap"] and market["active"]
    )
    now_ms = clock.seconds * 1000
    start = (now_ms - 1100 * 900_000) // 900_000 * 900_000
    size = min(MAX_ROWS[name], 500)
    rows: list[list[float]] = []
    while True:
        since = rows[-1][0] + 900_000 if rows else start
        if since > now_ms:
            break
        page = client.fetch_ohlcv(symbol, "15m", since, size, {"until": min(since + (size - 1) * 900_000, now_ms)})
        assert page[0][0] == since
        if not rows:
            assert len(page) == size - (name in END_IS_EXCLUSIVE)
        rows += page
    assert rows[0][0] == start
    assert {later[0] - earlier[0] for earlier, later in pairwise(rows)} == {900_000}
    assert len(rows) == 1101


def raw_opens(exchanges: ExchangeEmulators, name: str, contract: Contract) -> list[int]:
    """Return the opens of as many 15-minute bars as one request gives, in the order and unit of the response."""
    asks = {
        "BINANCE": ("/fapi/v1/klines", {"symbol": contract.id, "interval": "15m", "limit": 9999}),
        "BITGET": (
            "/api/v2/mix/market/candles",
            {"symbol": contract.id, "productType": "USDT-FUTURES", "granularity": "15m", "limit": 9999},
        ),
        "BYBIT": (
            "/v5/market/kline",
            {"category": "linear", "symbol": contract.id, "interval": "15", "limit": 9999},
        ),
        "GATE": ("/api/v4/futures/usdt/candlesticks", {"contract": contract.id, "interval": "15m", "limit": 2000}),
        "KUCOIN": ("/api/v1/kline/query", {"symbol": contract.id, "granularity": 15, "from": 1_760_000_000_000}),
        "MEXC": (f"/api/v1/contract/kline/{contract.id}", {"interval": "Min15"}),
        "OKX": ("/api/v5/market/candles", {"instId": contract.id, "bar": "15m", "limit": 9999}),
    }
    if name == "HYPERLIQUID":
        body = {"coin": contract.id, "interval": "15m", "startTime": 0, "endTime": 1_800_000_000_000}
        rows = requests.post(
            exchanges[name].url + "/info", json={"type": "candleSnapshot", "req": body}, timeout=5
        ).json()
        return [row["t"] for row in rows]
    path, fields = asks[name]
    body = requests.get(exchanges[name].url + path, params=fields, timeout=5).json()
    rows = body.get("data", body.get("result")) if isinstance(body, dict) else body
    if isinstance(rows, dict):
        rows = rows.get("list", rows.get("time"))
    return [int(row[0]) if isinstance(row, list) else int(row["t"] if isinstance(row, dict) else row) for row in rows]


@pytest.mark.parametrize("name", NAMES)
def test_order_unit_and_number_of_rows_are_those_of_the_api(
    name: str, exchanges: ExchangeEmulators, exchange_universe: ExchangeUniverse
) -> None:
    opens = raw_opens(exchanges, name, contract_of(exchange_universe, name))
    assert len(opens) == MAX_ROWS[name]
    assert opens == sorted(opens, reverse=name in NEWEST_FIRST)
    assert (opens[0] < 10**11) == (name in IN_SECONDS)


def test_hyperliquid_keeps_the_k_of_a_multiplied_coin(connected: Connect, clock: Clock) -> None:
    client = connected("HYPERLIQUID")
    rows = client.fetch_ohlcv(symbol_of(client, "kPEPE"), "15m", None, 5)
    assert len(rows) == 5


def test_coin_margined_bars_have_the_volume_in_the_base(
    connected: Connect, exchange_universe: ExchangeUniverse, clock: Clock
) -> None:
    client = connected("BYBIT", minimal=False)
    contract = exchange_universe.contract("BYBIT", "BTCUSD")
    rows = client.fetch_ohlcv("BTC/USD:BTC", "15m", None, 10)
    assert rows == expected(exchange_universe, "BYBIT", contract, 900, 10, clock.moment.timestamp())


def test_bars_begin_when_the_contract_was_listed(connected: Connect, exchange_universe: ExchangeUniverse) -> None:
    client, contract = connected("BYBIT"), contract_of(exchange_universe, "BYBIT")
    rows = client.fetch_ohlcv(symbol_of(client, contract.id), "15m", (contract.listed - 86_400) * 1000, 200)
    assert rows[0][0] == contract.listed * 1000


def test_bars_end_when_the_contract_was_delisted(
    exchanges: ExchangeEmulators, exchange_universe: ExchangeUniverse
) -> None:
    (contract,) = [contract for contract in exchange_universe.contracts("MEXC") if contract.delisted]
    opens = raw_opens(exchanges, "MEXC", contract)
    assert opens[-1] < contract.delisted <= opens[-1] + 900
