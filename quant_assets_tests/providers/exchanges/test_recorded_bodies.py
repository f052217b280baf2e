"""Recorded bodies of the real APIs go through the client, and give what was recorded of their meaning.

They are beside the project, not in it; without them these tests are skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import orjson
import pytest

from quant_assets.providers.errors import ProviderError
from quant_assets.providers.exchanges.catalogue import EXCHANGE_APIS
from quant_assets.providers.exchanges.errors import RateLimited, RequestFailed, RequestRefused, UnknownMarket
from quant_assets.providers.exchanges.history_requests import HISTORY_REQUESTS, read_history
from quant_assets.providers.exchanges.snapshot_requests import SnapshotRequest, read_snapshot
from quant_assets_tests.candles.exchanges.markets import BTC
from quant_assets_tests.providers.coinalyze.scripted import Canned
from quant_assets_tests.providers.exchanges.conftest import Scripted

DATA: Final = Path(__file__).parents[4] / "shared" / "exchange_data"
FOLDERS: Final = {
    "BINANCE": "binance",
    "BYBIT": "bybit",
    "OKX": "okx",
    "HYPERLIQUID": "hyperliquid",
    "KUCOIN": "kucoinfutures",
    "MEXC": "mexc",
    "GATE": "gate",
    "BITGET": "bitget",
}
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the recorded bodies are not beside the project")


def content(exchange: str, name: str) -> Any:
    """Return the content of a file, None if there is none."""
    path = DATA / FOLDERS[exchange] / name
    return orjson.loads(path.read_bytes()) if path.is_file() else None


#: The responses to the requests of a market list, in order, around the rows of the list.
Responses = Callable[[list[Any]], list[Any]]
#: Exchanges that are not asked for contracts with margin in the base asset.
LINEAR_ONLY: Final = {"BYBIT", "GATE"}
LISTS: Final[dict[str, Responses]] = {
    "BINANCE": lambda rows: [{"symbols": rows}, []],
    "BYBIT": lambda rows: [{"retCode": 0, "result": {"category": "linear", "list": part}} for part in (rows, [], [])],
    "OKX": lambda rows: [{"code": "0", "data": rows}, {"code": "0", "data": []}],
    "HYPERLIQUID": lambda rows: [[{"universe": rows}, rows]],
    "KUCOIN": lambda rows: [{"code": "200000", "data": rows}],
    "MEXC": lambda rows: [{"symbols": []}, *({"success": True, "code": 0, "data": part} for part in (rows, []))],
    "GATE": lambda rows: [rows, []],
    "BITGET": lambda rows: [{"code": "00000", "data": part} for part in (rows, *[[]] * 7)],
}


@pytest.mark.parametrize("exchange", FOLDERS)
def test_recorded_market_list_gives_the_recorded_markets(scripted: Scripted, exchange: str) -> None:
    recorded = content(exchange, "markets.json")
    wanted = {
        symbol: item
        for symbol, item in recorded["unified_by_ccxt_4_5_90_from_info"].items()
        if item["contract"] and (item["linear"] or exchange not in LINEAR_ONLY)
    }
    answers = LISTS[exchange]([recorded["markets"][symbol]["info"] for symbol in wanted])
    client, _, _ = scripted(exchange, *(Canned(body=orjson.dumps(answer)) for answer in answers))
    found = client.markets()
    assert len(found) == len(wanted)
    by_names = {(market.base, market.quote, market.settle, market.is_perpetual): market for market in found}
    for item in wanted.values():
        market = by_names[item["base"], item["quote"], item["settle"], bool(item["swap"])]
        assert market.is_linear is bool(item["linear"])
        assert market.is_active is (item["active"] is not False)
        assert market.symbol == (item["base"] if exchange == "HYPERLIQUID" else item["id"])
        assert client.api.counts_contracts is False or market.contract_size == item["contractSize"]


def swap_bars() -> Iterator[Any]:
    """Yield the recorded answers with bars of perpetuals."""
    for exchange in FOLDERS:
        for entry in (content(exchange, "response_fetchOHLCV.json") or {"entries": []})["entries"]:
            if ":" in entry["input"][0] and len(entry["input"]) < 5:  # others are of spot, or of an index price
                yield pytest.param(exchange, entry, id=f"{exchange}-{entry['description']}")


@pytest.mark.parametrize(("exchange", "entry"), list(swap_bars()))
def test_recorded_bars_give_the_recorded_rows(scripted: Scripted, exchange: str, entry: Any) -> None:
    expected = entry["parsedResponse"]
    client, _, _ = scripted(exchange, Canned(body=orjson.dumps(entry["httpResponse"])))
    first = int(expected[0][0])
    assert client.bars(BTC, "15m", first, first + 100 * 900_000) == expected


def samples(exchange: str) -> Iterator[Any]:
    """Yield every recorded payload of an exchange, with the rows inside it."""
    name = "kucoin" if exchange == "KUCOIN" else FOLDERS[exchange]
    for sample in orjson.loads((DATA / name / "samples_from_ccxt_comments.json").read_bytes())["samples"]:
        yield sample["payload"]
    for path in sorted((DATA / FOLDERS[exchange]).glob("response_*.json")):
        for entry in orjson.loads(path.read_bytes())["entries"]:
            yield entry["httpResponse"]


#: Exchange → epoch ms and open interest of the recorded points of its history, in the order of the samples.
HISTORIES: Final = {
    "BINANCE": [{1642179900000: 75375.617}],
    "BYBIT": [{1669571400000: 461134384.0, 1669571100000: 461134292.0}],
    "OKX": [{1790550000000: 28006.5419}],
    "GATE": [{1674057000000: 2851725.0}],
}


@pytest.mark.parametrize("exchange", HISTORIES)
def test_recorded_history_of_open_interest_gives_the_recorded_points(exchange: str) -> None:
    found = []
    for payload in samples(exchange):
        try:
            found.append(read_history(HISTORY_REQUESTS[exchange], payload))
        except (KeyError, TypeError, ValueError, IndexError):
            continue  # a sample of another request
    assert [each for each in found if each in HISTORIES[exchange]] == HISTORIES[exchange]


@pytest.mark.parametrize("exchange", HISTORY_REQUESTS)
def test_history_is_asked_for_at_the_recorded_address(exchange: str, scripted: Scripted) -> None:
    """The recorded requests are ccxt's own for the same method."""
    recorded = content(exchange, "request_fetchOpenInterestHistory.json")["entries"]
    url = urlsplit(recorded[-1]["requests"][0]["url"])
    code = "200000" if exchange == "KUCOIN" else "0"
    body = (
        {"code": code, "retCode": 0, "data": [], "result": {"list": []}} if exchange not in ("BINANCE", "GATE") else []
    )
    client, server, _ = scripted(exchange, Canned(body=orjson.dumps(body)))
    client.open_interest_history(BTC, 1_700_000_100_000, 1_700_009_100_000)
    sent = urlsplit(server.paths[0])
    assert sent.path == url.path
    names = {"end"} if exchange == "OKX" else set()
    assert set(dict(parse_qsl(url.query))) | names <= set(dict(parse_qsl(sent.query)))


def recorded_rows(exchange: str, request: SnapshotRequest) -> list[Any]:
    """Return the recorded rows that have the fields of a request for a snapshot."""
    needed = {request.symbol, request.open_interest, request.funding_rate} - {""}
    found = []
    for payload in samples(exchange):
        try:
            rows = list(request.rows(payload))
        except (KeyError, TypeError, ValueError):
            rows = [payload]  # the sample is a row
        found += [row for row in rows if isinstance(row, dict) and needed <= row.keys()]
    return found


@pytest.mark.parametrize("exchange", FOLDERS)
def test_recorded_open_interest_and_funding_are_read(exchange: str) -> None:
    for request in EXCHANGE_APIS[exchange].snapshot_requests:
        rows = recorded_rows(exchange, request)
        assert rows
        for row in rows:
            values = read_snapshot(replace(request, rows=lambda body: [body]), row)
            assert values.invalid == 0
            if request.open_interest:
                assert values.open_interest == {row[request.symbol]: float(row[request.open_interest])}
            if request.funding_rate and row[request.funding_rate]:
                assert values.funding_rate == {row[request.symbol]: float(row[request.funding_rate])}


def test_recorded_open_interest_of_okx_is_that_in_base_units(scripted: Scripted) -> None:
    (entry,) = content("OKX", "response_fetchOpenInterest.json")["entries"]
    rates = {"code": "0", "data": [{"instId": "BTC-USDT-SWAP", "fundingRate": "0.0001"}]}
    client, _, _ = scripted("OKX", *(Canned(body=orjson.dumps(each)) for each in (entry["httpResponse"], rates)))
    ((found,),) = client.snapshots([replace(BTC, symbol="BTC-USDT-SWAP")])
    assert found.open_interest == pytest.approx(entry["parsedResponse"]["baseVolume"])
    assert (found.funding_rate_pct, found.interval_hours) == (0.01, None)


#: ccxt's class for a recorded refusal → ours.
NAMES: Final = {
    "RateLimitExceeded": RateLimited,
    "DDoSProtection": RateLimited,
    "BadSymbol": UnknownMarket,
    "BadRequest": RequestRefused,
    "ExchangeError": RequestRefused,
    "OrderNotFound": RequestRefused,
    "ExchangeNotAvailable": RequestFailed,
}


def refusals() -> Iterator[Any]:
    """Yield the recorded refusals."""
    for exchange in FOLDERS:
        for case in (content(exchange, "errors.json") or {"cases": []})["cases"]:
            yield pytest.param(exchange, case, id=f"{exchange}-{case['case']}")


@pytest.mark.parametrize(("exchange", "case"), list(refusals()))
def test_recorded_refusal_is_an_error_with_our_name(scripted: Scripted, exchange: str, case: Any) -> None:
    body = case["body"].encode() if isinstance(case["body"], str) else orjson.dumps(case["body"])
    client, _, _ = scripted(exchange, Canned(case["http_status"], body, case["headers"]))
    with pytest.raises(ProviderError) as found:
        client.bars(BTC, "15m", 1_768_841_100_000, 1_768_842_000_000)
    assert type(found.value) is NAMES[case["ccxt_exception_chain"][0]]
