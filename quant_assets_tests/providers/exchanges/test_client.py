"""The client of an exchange: what it makes of responses, refusals and faults. BYBIT stands for all where all agree."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

import orjson
import pytest

from quant_assets.providers.errors import DeadlineExceeded, ProviderError
from quant_assets.providers.exchanges.catalogue import EXCHANGE_APIS
from quant_assets.providers.exchanges.errors import (
    MalformedBody,
    RateLimited,
    RequestFailed,
    RequestRefused,
    UnknownMarket,
)
from quant_assets_tests.candles.exchanges.markets import BTC, market
from quant_assets_tests.providers.coinalyze.scripted import Canned
from quant_assets_tests.providers.conftest import VirtualClock
from quant_assets_tests.providers.exchanges.conftest import Scripted

START = 1_768_841_100_000
STEP = 900_000
HTML = Canned(body=b"<html><body>Maintenance</body></html>", headers={"Content-Type": "text/html"})


def klines(*rows: list[object]) -> Canned:
    body = {"retCode": 0, "retMsg": "OK", "result": {"symbol": "BTCUSDT", "category": "linear", "list": list(rows)}}
    return Canned(body=orjson.dumps(body))


ROW = [str(START), "1", "3", "0.5", "2", "10", "20"]
BARS = klines(ROW)


def test_bars_come_in_order_and_within_the_request(scripted: Scripted) -> None:
    later, before = [str(START + STEP), *ROW[1:]], [str(START - STEP), *ROW[1:]]
    client, server, _ = scripted("BYBIT", klines(later, ROW, before))
    bars = client.bars(BTC, "15m", START, START + 2 * STEP)
    assert bars == [[START, 1.0, 3.0, 0.5, 2.0, 10.0], [START + STEP, 1.0, 3.0, 0.5, 2.0, 10.0]]
    assert len(server.paths) == 1  # no market list is fetched for it
    assert "symbol=BTCUSDT" in server.paths[0]


def test_more_bars_than_a_response_holds_are_refused_before_a_request(scripted: Scripted) -> None:
    client, server, _ = scripted("BYBIT", BARS)
    with pytest.raises(ValueError, match="1000 bars"):
        client.bars(BTC, "15m", START, START + 1001 * STEP)
    assert server.paths == []


@pytest.mark.parametrize("exchange", EXCHANGE_APIS)
@pytest.mark.parametrize("body", [b"<html></html>", b"", b'{"retCode":0,"result":{"list":[[1', b"null", b'{"other":1}'])
def test_body_that_cannot_be_right_is_an_error_and_no_empty_market(
    scripted: Scripted, exchange: str, body: bytes
) -> None:
    client, _server, _ = scripted(exchange, Canned(body=body))
    with pytest.raises(ProviderError) as found:
        client.bars(BTC, "15m", START, START + 2 * STEP)
    assert isinstance(found.value, MalformedBody | RequestRefused)
    assert exchange in str(found.value)


@pytest.mark.parametrize("answer", [HTML, Canned(status=502), Canned(ending="reset"), Canned(ending="closed")])
def test_failure_that_passes_costs_a_retry(scripted: Scripted, answer: Canned) -> None:
    client, _, _ = scripted("BYBIT", answer, BARS)
    assert client.bars(BTC, "15m", START, START + STEP)
    assert (client.usage.requests, client.usage.retries) == (2, 1)


def test_lasting_failure_names_exchange_request_and_reason(scripted: Scripted) -> None:
    client, server, _ = scripted("BYBIT", HTML)
    with pytest.raises(
        MalformedBody, match=r"BYBIT /v5/market/kline: status 200 with a body of 37 bytes \(text/html\) that is no JSON"
    ):
        client.bars(BTC, "15m", START, START + STEP)
    assert len(server.paths) == 4


@pytest.mark.parametrize(
    ("exchange", "answer", "seconds"),
    [
        ("BYBIT", Canned(status=403, body=b"access too frequent"), 600),
        ("BYBIT", Canned(body=b'{"retCode":10006,"retMsg":"Too many visits.","result":{}}'), 5),
        ("BINANCE", Canned(status=429, body=b'{"code":-1003}', headers={"Retry-After": "17"}), 17),
        ("BINANCE", Canned(status=418, body=b'{"code":-1003}'), 600),
        ("OKX", Canned(body=b'{"code":"50011","msg":"Too Many Requests","data":[]}'), 2),
        ("MEXC", Canned(body=b'{"success":false,"code":510,"message":"too frequently"}'), 2),
        ("KUCOIN", Canned(status=429, body=b'{"code":"429000","msg":"Too many requests"}'), 30),
        ("KUCOIN", Canned(status=429, body=b"{}", headers={"gw-ratelimit-reset": "15000"}), 15),
        ("GATE", Canned(status=429, body=b"{}", headers={"X-Gate-RateLimit-Reset-Timestamp": "1768842304"}), 4),
        ("GATE", Canned(status=429, body=b'{"label":"TOO_MANY_REQUESTS","message":"x"}'), 10),
        ("HYPERLIQUID", Canned(status=429, body=b"null"), 60),
        ("BITGET", Canned(status=429, body=b'{"code":"429","msg":"Too many requests"}'), 1),
    ],
)
def test_refusal_pauses_the_exchange_for_as_long_as_it_says(
    scripted: Scripted, clock: VirtualClock, exchange: str, answer: Canned, seconds: float
) -> None:
    client, server, budget = scripted(exchange, answer)
    with pytest.raises(RateLimited) as found:
        client.bars(BTC, "15m", START, START + STEP)
    assert found.value.seconds == seconds
    assert (len(server.paths), client.usage.rate_limited) == (1, 1)
    before = clock.now
    budget.release(budget.acquire(1))
    assert clock.now - before == pytest.approx(seconds, abs=0.01)


def test_pause_of_hours_is_kept_ten_minutes_at_a_time(scripted: Scripted, clock: VirtualClock) -> None:
    answer = Canned(status=418, body=b'{"code":-1003}', headers={"Retry-After": "7200"})
    client, server, budget = scripted("BINANCE", answer)
    with pytest.raises(RateLimited):
        client.bars(BTC, "15m", START, START + STEP)
    before = clock.now
    budget.release(budget.acquire(1))
    assert clock.now - before == pytest.approx(600, abs=0.01)
    assert len(server.paths) == 1


def test_unknown_market_is_told_apart(scripted: Scripted) -> None:
    client, server, _ = scripted("BINANCE", Canned(status=400, body=b'{"code":-1121,"msg":"Invalid symbol."}'))
    with pytest.raises(UnknownMarket, match="BINANCE"):
        client.bars(BTC, "15m", START, START + STEP)
    assert len(server.paths) == 1


def test_request_waits_for_the_budget_and_gives_up_at_the_deadline(scripted: Scripted, clock: VirtualClock) -> None:
    client, server, budget = scripted("BYBIT", BARS)
    budget.commit(budget.acquire(EXCHANGE_APIS["BYBIT"].limit))
    with pytest.raises(DeadlineExceeded):
        client.bars(BTC, "15m", START, START + STEP, deadline=clock.now + 4)
    assert server.paths == []
    assert client.bars(BTC, "15m", START, START + STEP)
    assert sum(clock.slept) == pytest.approx(5, abs=0.01)


def test_date_of_the_response_gives_the_time_of_the_exchange(scripted: Scripted, clock: VirtualClock) -> None:
    date = format_datetime(datetime.fromtimestamp(clock.now + 120, UTC), usegmt=True)
    client, _, _ = scripted("BYBIT", Canned(body=BARS.body, headers={"Date": date}))
    client.bars(BTC, "15m", START, START + STEP)
    assert client.usage.offset_seconds == pytest.approx(120, abs=1)


def test_volume_in_contracts_becomes_base_units(scripted: Scripted) -> None:
    body = {"code": "200000", "data": [[START, 1, 3, 0.5, 2, 10584]]}
    client, _, _ = scripted("KUCOIN", Canned(body=orjson.dumps(body)))
    lots = market("XBTUSDTM", contract_size=0.001)
    assert client.bars(lots, "15m", START, START + STEP)[0][5] == 10.584


def test_dripping_response_ends_with_the_deadline(scripted: Scripted, clock: VirtualClock) -> None:
    client, _, _ = scripted("BYBIT", Canned(ending="drip", length=1000))
    with pytest.raises(RequestFailed):
        client.bars(BTC, "15m", START, START + STEP, deadline=clock.now + 1)


def test_empty_market_list_is_an_error(scripted: Scripted) -> None:
    client, _, _ = scripted("BYBIT", klines())
    with pytest.raises(ProviderError, match="no contract"):
        client.markets()
