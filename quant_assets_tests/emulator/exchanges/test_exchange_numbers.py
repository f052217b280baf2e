"""Test tickers, open interest, funding and time of the local exchanges with ccxt's own classes."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import Any

import ccxt
import pytest
import requests

from quant_assets.emulator import simulate_candles
from quant_assets.emulator.exchanges import APIS, ExchangeEmulators, ExchangeUniverse
from quant_assets.emulator.exchanges.contract import Contract
from quant_assets_tests.emulator.conftest import Clock
from quant_assets_tests.emulator.exchanges.clients import symbol_of
from quant_assets_tests.emulator.exchanges.conftest import NAMES, Connect
from quant_assets_tests.emulator.exchanges.test_exchange_bars import contract_of

#: The field of a ticker's raw row that has the open interest, or of the row of `contracts`.
INTEREST_FIELDS = {
    "BITGET": "holdingAmount",
    "BYBIT": "openInterest",
    "GATE": "total_size",
    "HYPERLIQUID": "openInterest",
    "KUCOIN": "openInterest",
    "MEXC": "holdVol",
}
RATE_FIELDS = {**dict.fromkeys(INTEREST_FIELDS, "fundingRate"), "GATE": "funding_rate", "HYPERLIQUID": "funding"} | {
    "KUCOIN": "fundingFeeRate"
}
#: Exchanges whose history of open interest ccxt reads, with the timeframe to ask for.
WITH_HISTORY = ("BINANCE", "BYBIT", "GATE", "KUCOIN", "OKX")


def day_of(universe: ExchangeUniverse, name: str, contract: Contract, now: int) -> Any:
    """Return the simulated candles of the 24 hours before the bar in progress."""
    assert universe.simulated is not None
    (market,) = [
        scanned.market
        for scanned in universe.simulated.scanned
        if (scanned.exchange, scanned.symbol) == (name, contract.symbol)
    ]
    opened = now // 900 * 900
    return simulate_candles(universe.simulated.seed, market, 900, opened - 86_400, opened)


@pytest.mark.parametrize("name", NAMES)
def test_tickers_of_all_markets_sum_up_the_last_day(
    name: str, connected: Connect, exchange_universe: ExchangeUniverse, clock: Clock
) -> None:
    client, contract = connected(name), contract_of(exchange_universe, name)
    tickers = client.fetch_tickers()
    traded = [market for market in client.markets.values() if market["active"] and market["linear"] and market["swap"]]
    if name == "BITGET":  # its tickers come by product
        traded = [market for market in traded if market["settle"] == "USDT"]
    assert {market["symbol"] for market in traded} <= set(tickers)
    ticker = tickers[symbol_of(client, contract.id)]
    day = day_of(exchange_universe, name, contract, clock.seconds)
    assert day.l.min() * 0.98 < ticker["last"] < day.h.max() * 1.02
    turnover = float((day.v * (day.h + day.l + day.c) / 3).sum())
    quote = ticker["quoteVolume"]
    if name == "OKX":  # ccxt says none for swaps
        assert quote is None
        quote = float(ticker["info"]["volCcy24h"]) * ticker["last"]
    assert quote == pytest.approx(turnover, rel=0.05)
    if name not in ("HYPERLIQUID", "OKX"):  # ccxt says none, and contracts
        assert ticker["baseVolume"] == pytest.approx(day.v.sum(), rel=0.02)


@pytest.mark.parametrize("name", sorted(INTEREST_FIELDS))
def test_one_request_has_open_interest_and_funding_of_all(
    name: str, connected: Connect, exchange_universe: ExchangeUniverse, exchanges: ExchangeEmulators
) -> None:
    client, contract = connected(name), contract_of(exchange_universe, name)
    before = exchanges[name].accounting.requests
    tickers = client.fetch_tickers()
    assert exchanges[name].accounting.requests == before + 1
    info = tickers[symbol_of(client, contract.id)]["info"]
    amount = float(info[INTEREST_FIELDS[name]])
    base = amount * contract.size if APIS[name].counts_contracts else amount
    dollars = base * tickers[symbol_of(client, contract.id)]["last"]
    assert 1e4 < dollars < 1e11
    assert abs(float(info[RATE_FIELDS[name]])) < 0.02


def test_okx_gives_both_in_two_requests(connected: Connect, exchange_universe: ExchangeUniverse) -> None:
    client, contract = connected("OKX"), contract_of(exchange_universe, "OKX")
    symbol = symbol_of(client, contract.id)
    info = client.fetch_open_interests()[symbol]["info"]
    assert float(info["oi"]) * contract.size == pytest.approx(float(info["oiCcy"]))
    assert client.fetch_funding_rates()[symbol]["interval"] == f"{contract.funding_hours}h"


def test_binance_gives_funding_of_all_and_open_interest_of_one(
    connected: Connect, exchange_universe: ExchangeUniverse
) -> None:
    client = connected("BINANCE")
    rates = client.fetch_funding_rates()
    differing = {row["symbol"] for row in client.fapiPublicGetFundingInfo()}
    for contract in exchange_universe.contracts("BINANCE"):
        if not contract.inverse and contract.delisted is None:
            assert symbol_of(client, contract.id) in rates
            assert (contract.id in differing) == (contract.funding_hours != 8)
    with pytest.raises(ccxt.NotSupported):
        client.fetch_open_interests()
    contract = contract_of(exchange_universe, "BINANCE")
    assert client.fetch_open_interest(symbol_of(client, contract.id))["openInterestAmount"] > 0


@pytest.mark.parametrize("name", [*WITH_HISTORY])
def test_history_of_open_interest_leads_to_the_current_value(
    name: str, connected: Connect, exchange_universe: ExchangeUniverse, clock: Clock
) -> None:
    client, contract = connected(name), contract_of(exchange_universe, name)
    symbol = symbol_of(client, contract.id)
    history = client.fetch_open_interest_history(symbol, "1h", None, 30)
    moments = [row["timestamp"] for row in history]
    assert len(moments) == 30
    assert moments == sorted(moments)
    assert {moment % 3_600_000 for moment in moments} == {0}
    assert 0 <= clock.seconds * 1000 - moments[-1] < 3_600_000
    values = [row["openInterestAmount"] for row in history]
    assert len(set(values)) > 20
    if name != "GATE":
        now = client.fetch_open_interest(symbol)["openInterestAmount"]
        assert values[-1] == pytest.approx(now, rel=0.02)


@pytest.mark.parametrize("name", NAMES)
def test_history_of_funding_is_at_the_times_of_payment(
    name: str, connected: Connect, exchange_universe: ExchangeUniverse, clock: Clock
) -> None:
    client, contract = connected(name), contract_of(exchange_universe, name)
    history = client.fetch_funding_rate_history(symbol_of(client, contract.id), None, 10)
    moments = [row["timestamp"] for row in history]
    interval = contract.funding_hours * 3600
    assert len(moments) >= 10
    assert moments == sorted(moments)
    assert {moment // 1000 % interval for moment in moments} == {0}
    assert moments[-1] // 1000 == clock.seconds // interval * interval


@pytest.mark.parametrize("name", NAMES)
def test_funding_of_one_market_names_the_next_payment(
    name: str, connected: Connect, exchange_universe: ExchangeUniverse, clock: Clock
) -> None:
    client, contract = connected(name), contract_of(exchange_universe, name)
    rate = client.fetch_funding_rate(symbol_of(client, contract.id))
    interval = contract.funding_hours * 3600
    assert rate["fundingTimestamp"] == (clock.seconds // interval + 1) * interval * 1000
    assert abs(rate["fundingRate"]) < 0.02


@pytest.mark.parametrize("name", NAMES)
def test_time_is_that_of_the_clock_as_is_the_date_header(name: str, connected: Connect, clock: Clock) -> None:
    client = connected(name)
    clock.move(86_400)
    assert client.fetch_time() // 1000 == clock.seconds
    assert parsedate_to_datetime(client.last_response_headers["Date"]).timestamp() == clock.seconds


def test_open_interest_is_that_of_the_local_coinalyze(
    exchange_universe: ExchangeUniverse, exchanges: ExchangeEmulators, connected: Connect, clock: Clock
) -> None:
    assert exchange_universe.simulated is not None
    listing = exchange_universe.simulated.listings["BTCUSDT.6"]
    closed = listing.source.bars("open_interest", clock.seconds // 900 * 900 - 900, clock.seconds // 900 * 900)
    clock.move(-(clock.moment.timestamp() % 900))
    ticker = requests.get(
        exchanges["BYBIT"].url + "/v5/market/tickers", params={"category": "linear", "symbol": "BTCUSDT"}, timeout=5
    ).json()["result"]["list"][0]
    assert float(ticker["openInterest"]) == closed["c"][-1]
