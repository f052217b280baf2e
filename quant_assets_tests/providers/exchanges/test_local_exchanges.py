"""The client against the local exchanges: the same markets and bars as the simulated ones, whatever the API's ways."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from quant_assets.common.timeframes import STEP_MS
from quant_assets.emulator import simulated_universe
from quant_assets.emulator.exchanges import ExchangeEmulators, ExchangeFaults, exchanges_of_universe
from quant_assets.emulator.exchanges.venue import DaySummaries, Venue
from quant_assets.providers.budget import CallBudget
from quant_assets.providers.exchanges.catalogue import EXCHANGE_APIS
from quant_assets.providers.exchanges.client import ExchangeClient
from quant_assets.providers.exchanges.errors import MalformedBody, RateLimited, RequestFailed
from quant_assets.providers.exchanges.market import ExchangeMarket
from quant_assets.providers.exchanges.snapshot_requests import MarketSnapshot
from quant_assets_tests.candles.exchanges.markets import BTC

UNIVERSE = exchanges_of_universe(simulated_universe())
pytestmark = pytest.mark.parametrize("name", EXCHANGE_APIS)


@pytest.fixture(scope="module")
def exchanges() -> Iterator[ExchangeEmulators]:
    with ExchangeEmulators(UNIVERSE) as running:
        yield running


@pytest.fixture
def client(name: str, exchanges: ExchangeEmulators, tmp_path: Path) -> Iterator[ExchangeClient]:
    exchanges[name].faults = ExchangeFaults()
    exchanges[name].limits_factor = 1.0
    api = EXCHANGE_APIS[name]
    budget = CallBudget(tmp_path / "budget.sqlite", api.limit, period_seconds=api.period_seconds)
    client = ExchangeClient(api, budget, exchanges[name].url, sleep=lambda _: None)
    yield client
    client.close()
    budget.close()


def scanned(markets: list[ExchangeMarket]) -> list[ExchangeMarket]:
    return [market for market in markets if market.is_perpetual and market.is_linear and market.is_active]


def test_markets_have_symbol_size_turnover_and_price(name: str, client: ExchangeClient) -> None:
    markets = scanned(client.markets())
    expected = {contract.id: contract for contract in UNIVERSE.contracts(name)}
    assert len(markets) > 3
    for market in markets:
        contract = expected[market.symbol]
        assert market.quote == contract.quote
        assert market.contract_size == (contract.size if EXCHANGE_APIS[name].counts_contracts else 1.0)
        assert market.quote_volume is not None
        assert market.quote_volume > 0
        assert market.last_price is not None
        assert market.last_price > 0


@pytest.mark.parametrize("timeframe", STEP_MS)
def test_bars_of_a_whole_response_are_those_of_the_market(name: str, client: ExchangeClient, timeframe: str) -> None:
    step, count = STEP_MS[timeframe], min(EXCHANGE_APIS[name].max_bars[timeframe], 1500)
    end = int(time.time() * 1000) // step * step
    market = scanned(client.markets())[0]
    before = client.usage.requests
    bars = client.bars(market, timeframe, end - count * step, end)
    assert client.usage.requests == before + 1
    assert [row[0] for row in bars] == list(range(end - count * step, end, step))
    contract = next(contract for contract in UNIVERSE.contracts(name) if contract.id == market.symbol)
    true = contract.source.bars(step // 1000, (end - count * step) // 1000, end // 1000)
    assert [row[1:5] for row in bars] == np.stack([true.o, true.h, true.l, true.c], axis=1).tolist()
    # Exchanges that count contracts round to whole ones.
    assert [row[5] for row in bars] == pytest.approx(true.v.tolist(), abs=market.contract_size / 2, rel=1e-9)


def test_snapshot_has_open_interest_in_base_units_and_funding_in_percent(name: str, client: ExchangeClient) -> None:
    markets = scanned(client.markets())
    found: dict[str, MarketSnapshot] = {}
    for each in client.snapshots(markets):
        found |= {snapshot.symbol: snapshot for snapshot in each}
    contracts = {contract.id: contract for contract in UNIVERSE.contracts(name)}
    assert found.keys() == {market.symbol for market in markets}
    venue = Venue(contracts, time.time(), ExchangeFaults(), 0, DaySummaries())
    sizes = set()
    for symbol, snapshot in found.items():
        contract = contracts[symbol]
        counted = contract.size if EXCHANGE_APIS[name].counts_contracts else 0.0
        sizes.add(contract.size)
        assert snapshot.open_interest == pytest.approx(venue.open_interest(contract), abs=counted, rel=1e-3)
        assert snapshot.funding_rate_pct == pytest.approx(venue.funding_rate(contract) * 100, abs=1e-4)
        assert snapshot.interval_hours == (None if name == "MEXC" else contract.funding_hours)
    assert len(sizes) > 1 or not EXCHANGE_APIS[name].counts_contracts


def test_history_of_open_interest_is_that_of_the_market_in_one_request(
    name: str, client: ExchangeClient, exchanges: ExchangeEmulators
) -> None:
    if EXCHANGE_APIS[name].history_request is None:
        assert name in ("HYPERLIQUID", "MEXC", "BITGET")
        return
    end_ms = int(time.time() * 1000) // 900_000 * 900_000
    start_ms = end_ms - 95 * 900_000
    listed, counts_contracts = scanned(client.markets()), EXCHANGE_APIS[name].counts_contracts
    market = next(each for each in listed if each.contract_size != 1 or not counts_contracts)
    before, weight = exchanges[name].accounting, client.usage.weight
    found = client.open_interest_history(market, start_ms, end_ms)
    after = exchanges[name].accounting
    assert after.requests == before.requests + 1
    assert after.weight - before.weight <= client.usage.weight - weight
    contracts = {contract.id: contract for contract in UNIVERSE.contracts(name)}
    venue = Venue(contracts, time.time(), ExchangeFaults(), 0, DaySummaries())
    true = venue.open_interest_history(contracts[market.symbol], 900, start_ms / 1000, end_ms / 1000 + 0.001)
    assert list(found) == list(range(start_ms, end_ms + 1, 900_000)) == [moment * 1000 for moment in true[0].tolist()]
    # Exchanges that count contracts round to whole ones.
    assert list(found.values()) == pytest.approx(true[1].tolist(), abs=market.contract_size / 2, rel=1e-9)


def test_snapshot_of_all_markets_takes_few_requests(name: str, client: ExchangeClient) -> None:
    markets = scanned(client.markets())
    before = client.usage.requests
    list(client.snapshots(markets))
    by_market = len(markets) if name == "BINANCE" else 0  # open interest comes by symbol there
    assert client.usage.requests - before == {"BINANCE": 2, "OKX": 2, "BITGET": 4}.get(name, 1) + by_market


def test_weight_is_what_the_exchange_counts(name: str, client: ExchangeClient, exchanges: ExchangeEmulators) -> None:
    before = exchanges[name].accounting
    step, end = STEP_MS["15m"], int(time.time() * 1000) // 900_000 * 900_000
    for market in scanned(client.markets())[:3]:
        client.bars(market, "15m", end - 100 * step, end)
    list(client.snapshots(scanned(client.markets())))
    after = exchanges[name].accounting
    assert client.usage.requests == after.requests - before.requests
    counted = after.weight - before.weight
    once_in_a_second = 9 if name == "MEXC" else 0  # its list of contracts has a limit of its own, and weighs 10 for it
    # A part of a weight counts as one.
    assert counted <= client.usage.weight - once_in_a_second <= counted + client.usage.requests
    assert after.rate_limited == before.rate_limited


def test_market_list_asked_for_twice_in_a_row_is_not_refused(
    name: str, client: ExchangeClient, exchanges: ExchangeEmulators
) -> None:
    before = exchanges[name].accounting.rate_limited
    for _ in range(2):
        client.markets()
    assert exchanges[name].accounting.rate_limited == before


@pytest.mark.parametrize(
    ("faults", "error"),
    [
        (ExchangeFaults(down=True), RequestFailed),
        (ExchangeFaults(server_error=1.0), RequestFailed),
        (ExchangeFaults(cut=1.0), RequestFailed),
        (ExchangeFaults(html=1.0), MalformedBody),
        (ExchangeFaults(ban_seconds=60.0), RateLimited),
    ],
)
def test_fault_is_an_error_with_our_name(
    name: str, client: ExchangeClient, exchanges: ExchangeEmulators, faults: ExchangeFaults, error: type[Exception]
) -> None:
    exchanges[name].faults = faults
    with pytest.raises(error, match=name):
        client.markets()


@pytest.mark.parametrize(
    ("faults", "error"), [(ExchangeFaults(cut=1.0), RequestFailed), (ExchangeFaults(html=1.0), MalformedBody)]
)
def test_faulty_snapshot_is_an_error_and_not_an_empty_one(
    name: str, client: ExchangeClient, exchanges: ExchangeEmulators, faults: ExchangeFaults, error: type[Exception]
) -> None:
    exchanges[name].faults = faults
    with pytest.raises(error, match=name):
        list(client.snapshots([BTC]))
