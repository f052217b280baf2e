"""Compare the rows of the local exchanges with recorded ones: every field is there, and of the same type."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import requests

from quant_assets.emulator.exchanges import ExchangeEmulators, ExchangeUniverse
from quant_assets_tests.emulator.conftest import Clock
from quant_assets_tests.emulator.exchanges.clients import MINIMAL, symbol_of
from quant_assets_tests.emulator.exchanges.conftest import NAMES, Connect
from quant_assets_tests.emulator.exchanges.test_exchange_bars import contract_of

#: Recorded responses, for tests that are skipped without them.
RECORDED = Path(__file__).parents[4] / "shared" / "exchange_data"
FOLDERS = {name: name.lower() for name in NAMES} | {"KUCOIN": "kucoinfutures"}
#: What ccxt adds to a row itself, what is gone by now, and what only some contracts have.
NOT_SENT = {"baseId", "onlyIsolated", "bidPrice", "askPrice", "lastTickDirection", "CMCCirculatingSupply"}
needs_recordings = pytest.mark.skipif(not RECORDED.is_dir(), reason=f"no recorded responses in {RECORDED}")


def kind_of(value: Any) -> str:
    """Return the kind of a JSON value; numbers and their texts are one, as the recorder wrote some as text."""
    if isinstance(value, bool) or value in ("true", "false"):
        return "flag"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        try:
            float(value)
        except ValueError:
            return "text"
        return "number"
    return type(value).__name__


def differences(recorded: Any, sent: Any, path: str = "") -> Iterator[str]:
    """Yield what a recorded value has and ours lacks, or has of another kind."""
    if isinstance(recorded, dict) and isinstance(sent, dict):
        for name in recorded.keys() - NOT_SENT:
            if name not in sent:
                yield f"{path}.{name} is missing"
            else:
                yield from differences(recorded[name], sent[name], f"{path}.{name}")
    elif isinstance(recorded, list) and isinstance(sent, list):
        if recorded and sent:
            yield from differences(recorded[0], sent[0], f"{path}[0]")
    elif recorded not in (None, "") and sent not in (None, "") and kind_of(recorded) != kind_of(sent):
        yield f"{path}: recorded {kind_of(recorded)}, sent {kind_of(sent)}"


def rows_of_markets(name: str) -> Iterator[dict[str, Any]]:
    """Yield the raw rows of recorded perpetuals, one linear and one inverse."""
    markets = orjson.loads((RECORDED / FOLDERS[name] / "markets.json").read_bytes())["markets"].values()
    for linear in (True, False):
        yield from [row["info"] for row in markets if row.get("info") and row.get("linear") is linear][:1]


@needs_recordings
@pytest.mark.parametrize("name", NAMES)
def test_rows_of_the_list_have_every_recorded_field(
    name: str, connected: Connect, exchange_universe: ExchangeUniverse
) -> None:
    client, contract = connected(name), contract_of(exchange_universe, name)
    sent = client.markets[symbol_of(client, contract.id)]["info"]
    compared = list(rows_of_markets(name))
    assert compared
    for recorded in compared:
        coin_margined = {".contractStatus is missing", ".contractSize is missing", ".equalQtyPrecision is missing"}
        assert set(differences(recorded, sent)) - coin_margined == set()


#: Functions of ccxt whose comments show a response, and how to ask for the same.
SAMPLES: dict[str, dict[str, tuple[str, dict[str, Any]]]] = {
    "BINANCE": {
        "fetch_open_interest": ("/fapi/v1/openInterest", {"symbol": "BTCUSDT"}),
        "fetch_funding_rate": ("/fapi/v1/premiumIndex", {"symbol": "BTCUSDT"}),
        "fetch_open_interest_history": ("/futures/data/openInterestHist", {"symbol": "BTCUSDT", "period": "1h"}),
        "fetch_ohlcv": ("/fapi/v1/klines", {"symbol": "BTCUSDT", "interval": "15m", "limit": 3}),
    },
    "BITGET": {
        "fetch_time": ("/api/v2/public/time", {}),
        "fetch_funding_rates": ("/api/v2/mix/market/tickers", {"productType": "USDT-FUTURES"}),
    },
    "BYBIT": {
        "fetch_future_markets": ("/v5/market/instruments-info", {"category": "linear"}),
        "fetch_tickers": ("/v5/market/tickers", {"category": "linear"}),
        "fetch_ohlcv": ("/v5/market/kline", {"category": "linear", "symbol": "BTCUSDT", "interval": "15"}),
        "fetch_open_interest": (
            "/v5/market/open-interest",
            {"category": "linear", "symbol": "BTCUSDT", "intervalTime": "1h"},
        ),
        "fetch_funding_rate_history": ("/v5/market/funding/history", {"category": "linear", "symbol": "BTCUSDT"}),
        "fetch_time": ("/v5/market/time", {}),
    },
    "GATE": {
        "fetch_funding_rates": ("/api/v4/futures/usdt/contracts", {}),
        "fetch_open_interest_history": (
            "/api/v4/futures/usdt/contract_stats",
            {"contract": "BTC_USDT", "interval": "1h"},
        ),
        "fetch_time": ("/api/v4/spot/time", {}),
    },
    "HYPERLIQUID": {
        "fetch_swap_markets": ("/info", {"type": "metaAndAssetCtxs"}),
        "fetch_ohlcv": (
            "/info",
            {
                "type": "candleSnapshot",
                "req": {"coin": "BTC", "interval": "15m", "startTime": 1_768_800_000_000},
            },
        ),
        "fetch_funding_rate_history": (
            "/info",
            {"type": "fundingHistory", "coin": "BTC", "startTime": 1_768_800_000_000},
        ),
    },
    "KUCOIN": {
        "fetch_open_interests": ("/api/ua/v1/market/open-interest", {}),
        "fetch_funding_rates": ("/api/ua/v2/market/funding-rate", {}),
        "fetch_time": ("/api/v1/timestamp", {}),
    },
    "MEXC": {
        "fetch_swap_markets": ("/api/v1/contract/detail", {}),
        "fetch_ohlcv": ("/api/v1/contract/kline/BTC_USDT", {"interval": "Min15"}),
        "fetch_tickers": ("/api/v1/contract/ticker", {}),
        "fetch_funding_rate": ("/api/v1/contract/funding_rate/BTC_USDT", {}),
        "fetch_funding_rate_history": ("/api/v1/contract/funding_rate/history", {"symbol": "BTC_USDT"}),
        "fetch_time": ("/api/v1/contract/ping", {}),
    },
    "OKX": {
        "fetch_tickers": ("/api/v5/market/tickers", {"instType": "SWAP"}),
        "fetch_ohlcv": ("/api/v5/market/candles", {"instId": "BTC-USDT-SWAP", "bar": "15m"}),
        "fetch_funding_rates": ("/api/v5/public/funding-rate", {"instId": "ANY"}),
        "fetch_open_interests": ("/api/v5/public/open-interest", {"instType": "SWAP"}),
        "fetch_open_interest_history": (
            "/api/v5/rubik/stat/contracts/open-interest-history",
            {"instId": "BTC-USDT-SWAP", "period": "1H"},
        ),
        "fetch_funding_rate_history": ("/api/v5/public/funding-rate-history", {"instId": "BTC-USDT-SWAP"}),
    },
}


@needs_recordings
@pytest.mark.parametrize(("name", "function"), [(name, function) for name in NAMES for function in SAMPLES[name]])
def test_response_has_the_fields_of_a_recorded_sample(name: str, function: str, exchanges: ExchangeEmulators) -> None:
    folder = "kucoin" if name == "KUCOIN" else FOLDERS[name]
    samples = orjson.loads((RECORDED / folder / "samples_from_ccxt_comments.json").read_bytes())["samples"]
    payloads = [sample["payload"] for sample in samples if sample["function"] == function]
    assert payloads
    path, fields = SAMPLES[name][function]
    url = exchanges[name].url + path
    answer = (
        requests.post(url, json=fields, timeout=5) if name == "HYPERLIQUID" else requests.get(url, fields, timeout=5)
    )
    sent = answer.json()
    # The comments show spot, options and other versions of the API too: one of them is this endpoint.
    assert min((list(differences(payload, sent)) for payload in payloads), key=len) == []


@needs_recordings
@pytest.mark.parametrize("name", NAMES)
def test_ccxt_asks_what_was_recorded(
    name: str, connected: Connect, exchanges: ExchangeEmulators, exchange_universe: ExchangeUniverse, clock: Clock
) -> None:
    """Every request that was recorded of ccxt is one that the local exchange knows."""
    exchanges[name].limits_factor = 1000
    client, contract = connected(name), contract_of(exchange_universe, name)
    symbol, asked = symbol_of(client, contract.id), 0
    now_ms = clock.seconds * 1000
    for path in sorted((RECORDED / FOLDERS[name]).glob("request_*.json")):
        recorded = orjson.loads(path.read_bytes())
        method = recorded["method"]
        if method in ("fetchMarkets", "fetchLiquidations", "fetchLongShortRatioHistory"):
            continue
        for entry in recorded["entries"]:
            arguments = [with_own_values(value, symbol, now_ms) for value in entry["input"]]
            if all(isinstance(value, str | int | float | dict | list | None) for value in arguments):
                getattr(client, method)(*arguments)
                asked += 1
    assert asked > 10
    assert exchanges[name].accounting.refused == 0


def with_own_values(value: Any, symbol: str, now_ms: int) -> Any:
    """Return an argument with a market that is listed here, and a moment that is as long ago as it was then."""
    then_ms = 1_700_400_000_000
    if isinstance(value, str) and "/" in value:
        return symbol
    if isinstance(value, list):
        return [with_own_values(item, symbol, now_ms) for item in value]
    if isinstance(value, dict):
        return {key: with_own_values(item, symbol, now_ms) for key, item in value.items()}
    if isinstance(value, int) and value > 10**12:
        return value - then_ms + now_ms
    return value


def test_each_exchange_has_options_for_perpetuals_alone() -> None:
    assert set(MINIMAL) == set(NAMES) == set(SAMPLES)
