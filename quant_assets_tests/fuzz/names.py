"""Fuzz target: names of candle files and symbols. Any name is read or rejected; any symbol is parsed.

The exchange, the symbol and the timeframe of a name are what its bytes say, as a file system hands them out.
Run it by `python -m quant_assets_tests.fuzz names --seconds 60`, where atheris is installed
(`pip install -e '.[fuzz]'`).
"""

from __future__ import annotations

import unicodedata

import pandas as pd

from quant_assets.derivatives.datasets import ENTRIES
from quant_assets.markets import CandleNameError, parse_base, parse_file_name, parse_symbol, resolve_markets
from quant_assets.markets.symbols import TIMEFRAMES
from quant_assets_tests.markets.sample_list import NOW, ROWS, table

LIST = table(ROWS)
RESOLVED_EVERY = 8
"""Resolution is slow, so it runs only for names whose length is a multiple of this."""

WORDS = (
    *(b"_15m.json", b"_4h.json", b"USDT", b"USD", b"-SWAP", b"_PERP", b"PERPETUAL", b"1000", b"10000000", b"1M", b"k"),
    *(b"XBT", b"KUCOIN_", b"HYPERLIQUID_", b"GATE_", "龙虾".encode(), b"\xcc\x81", b"\xff", b"\xed\xa0\x80"),
)
SEEDS = (
    b"",
    b"BINANCE_BTCUSDT_15m.json",
    b"OKX_BTC-USDT-SWAP_4h.json",
    b"KUCOIN_XBTUSDTM_1d.json",
    b"HYPERLIQUID_kPEPEUSDT_15m.json",
    b"GATE_PUMP_USDT_4h.json",
    b"BYBIT_10000000AIDOGEUSDT_15m.json",
    "MEXC_龙虾USDT_15m.json".encode(),
    b"X__15m.json",
    b"X_\xff_15m.json",
    b"X_CAFE\xcc\x81USDT_15m.json",
    b"X_CAFE-\xcc\x81USDT_15m.json",
)


def check(data: bytes) -> None:
    """Check bytes as a file name, and the market that it names."""
    name = data.decode("utf-8", "surrogateescape")
    try:
        found = parse_file_name(name)
    except CandleNameError as error:
        reason = str(error)
        assert reason
        exchange, _, symbol = name.partition("_")
    else:
        assert all((found.exchange, found.symbol))
        assert found.timeframe in TIMEFRAMES
        exchange, symbol = found.exchange, found.symbol
        assert f"{exchange}_{symbol}_{found.timeframe}.json" == unicodedata.normalize("NFC", name)
    _check_symbol(symbol, exchange)
    has_surrogates = any(0xD800 <= ord(letter) <= 0xDFFF for letter in name)  # such names never become markets
    if len(data) % RESOLVED_EVERY == 0 and not has_surrogates:
        market = pd.DataFrame({"exchange": [exchange], "symbol": [symbol]}, dtype="str")
        assert len(resolve_markets(market, LIST, datasets=ENTRIES, now=NOW)) == 1


def _check_symbol(symbol: str, exchange: str) -> None:
    found = parse_symbol(symbol, exchange)
    assert bool(found.base) == bool(symbol)
    assert bool(found.asset) == bool(symbol)
    assert 1 <= found.multiplier <= 10**7
    assert found.raw == unicodedata.normalize("NFC", symbol)
    assert found.display.endswith(found.quote)
    assert parse_symbol(found.raw, exchange) == found
    assert parse_base(found.base, exchange) == (found.multiplier, found.asset)
