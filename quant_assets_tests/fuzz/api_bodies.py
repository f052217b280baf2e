"""Fuzz target: API responses. A body gives valid rows and a count of invalid ones, or a MalformedResponse.

The first byte chooses the endpoint. Market lists are also turned into a table and resolved.
Run it by `python -m quant_assets_tests.fuzz api_bodies --seconds 60`, where atheris is installed
(`pip install -e '.[fuzz]'`).
"""

from __future__ import annotations

import math
from dataclasses import asdict
from datetime import UTC, datetime

import pandas as pd

from quant_assets.derivatives.datasets import ENTRIES
from quant_assets.markets import market_list_table, resolve_markets
from quant_assets.providers.coinalyze.models import (
    MAX_TIMESTAMP,
    MalformedResponse,
    read_exchanges,
    read_history,
    read_markets,
)
from quant_assets.providers.retry_after import parse_retry_after

NOW = datetime(2026, 1, 19, 17, tzinfo=UTC)
SYMBOL = "BTCUSDT_PERP.A"
MARKETS = pd.DataFrame({"exchange": ["BINANCE", "HTX"], "symbol": ["BTCUSDT", "kPEPEUSDT"]}, dtype="str")
FIELDS = ("o h l c", "l s", "r l s")
MARKET = (
    b'{"symbol":"BTCUSDT_PERP.A","exchange":"A","symbol_on_exchange":"BTCUSDT","base_asset":"BTC","quote_asset":"USDT",'
    b'"is_perpetual":true,"margined":"STABLE","expire_at":null,"oi_lq_vol_denominated_in":"BASE_ASSET",'
    b'"has_long_short_ratio_data":true,"has_ohlcv_data":true,"has_buy_sell_data":true}'
)

WORDS = (
    *(b'"symbol":', b'"exchange":', b'"base_asset":', b'"expire_at":', b'"history":', b'"code":', b'"name":', b'"t":'),
    *(b'"value":', b'"update":', b'"o":', b'"h":', b'"l":', b'"c":', b'"r":', b'"s":', b"1768752000", b"null", b"true"),
    *(b"1e400", b"1e25", b'"nan"', b'"BTCUSDT_PERP.A"', b"},{", b"[[[[[[[[", b"Mon, 19 Jan 2026 17:00:00 GMT"),
)
SEEDS = (
    b'0[{"code":"A","name":"Binance"},{"code":"","name":1}]',
    b"1[%s]" % MARKET,
    b"1[%s,7,null,[],%s]" % (MARKET, MARKET.replace(b'"USDT"', b"[" * 900 + b"]" * 900)),
    b"1[%s]" % MARKET.replace(b"null", b"1768752000000.5"),
    b'2[{"symbol":"BTCUSDT_PERP.A","history":[{"t":1768752000,"o":1,"h":2,"l":1,"c":"2"},{"t":1768752000,"o":1}]}]',
    b'3[{"symbol":"BTCUSDT_PERP.A","history":[{"t":1768752900,"l":1,"s":0},{"t":1768752000,"l":1e30,"s":0}]}]',
    b'4[{"symbol":"BTCUSDT_PERP.A","history":[]},{"symbol":"?","history":null}]',
    b"557.366",
    b"5Mon, 19 Jan 2026 17:00:30 GMT",
    b"5Mon, 01 Jan 0001 00:00:00 +2359",
)


def check(data: bytes) -> None:
    """Read the bytes after the first as a body of the endpoint that the first one chooses."""
    body = data[1:]
    try:
        match data[0] % 6 if data else 0:
            case 0:
                rows, broken = read_exchanges(body)
                assert all(isinstance(row.code, str) and isinstance(row.name, str) for row in rows)
            case 1:
                broken = _check_markets(body)
            case 5:
                broken = 0
                _check_pause(body)
            case kind:
                broken = _check_history(body, FIELDS[kind - 3])
    except MalformedResponse as error:
        broken = len(str(error)) - 1
    assert broken >= 0, "a fault is told"


def _check_markets(body: bytes) -> int:
    rows, broken = read_markets(body)
    table = market_list_table([("A", "Binance")], map(asdict, rows), NOW)
    assert len(table) <= len(rows)
    assert table["symbol"].is_unique
    assert len(resolve_markets(MARKETS, table, datasets=ENTRIES, now=NOW)) == len(MARKETS)
    return broken


def _check_history(body: bytes, fields: str) -> int:
    histories, broken = read_history(body, fields, [SYMBOL])
    assert [history.symbol for history in histories] in ([], [SYMBOL])
    for history in histories:
        times = [point[0] for point in history.points]
        assert times == sorted(set(times))
        assert all(0 < time < MAX_TIMESTAMP for time in times)
        assert all(math.isfinite(value) for point in history.points for value in point)
        assert all(len(point) == 1 + len(fields.split()) for point in history.points)
    return broken


def _check_pause(header: bytes) -> None:
    seconds = parse_retry_after(header.decode("latin-1"), NOW)
    assert seconds is None or (math.isfinite(seconds) and seconds >= 0.0)
