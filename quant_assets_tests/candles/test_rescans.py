"""Test how many files a rescan parses, and the fast parser."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import orjson
import pytest

from quant_assets.candles import CandleTables, bar_parsing, read_candles

MARKETS = 1_100
CHANGED = 30
DAY_MS = 86_400_000
FIRST_MS = 20_000 * DAY_MS


def content(bars: int, price: float = 100.0) -> bytes:
    """Write bars of a day each, whose times are on the grid of any timeframe."""
    bar = {"open": price, "high": price, "low": price, "close": price, "volume": 5}
    return orjson.dumps([{"time": FIRST_MS + day * DAY_MS, **bar} for day in range(bars)])


def read(folder: Path, known: CandleTables | None = None) -> tuple[CandleTables, int]:
    """Read the folder, and how many files the reader says it has parsed."""
    notes: list[str] = []
    tables = read_candles(folder, known, lambda stage, done, total, note="": notes.append(note))
    return tables, int(notes[-1].split(" files parsed")[0])


def test_rescan_after_30_of_1100_markets_changed_parses_only_their_files(tmp_path: Path) -> None:
    files = [
        tmp_path / f"BINANCE_S{number:04d}USDT_{timeframe}.json"
        for number in range(MARKETS)
        for timeframe in ("15m", "4h")
    ]
    for file in files:
        file.write_bytes(content(3))
    before, parsed = read(tmp_path)
    assert parsed == 2 * MARKETS
    for file in files[100 : 100 + 2 * CHANGED]:
        file.write_bytes(content(4, 200.0))
    after, parsed = read(tmp_path, before)
    assert parsed == 2 * CHANGED
    assert after.bars.equals(read_candles(tmp_path).bars)
    assert len(after.bars) == len(before.bars) + 2 * CHANGED
    again, parsed = read(tmp_path, after)
    assert (parsed, again is after) == (0, True)


NUMBERS = [0.1, 1e-9, 5e-324, 1e18, 123456789.123456789, 9007199254740993, 0, 1, 3e7, 0.30000000000000004]


@pytest.mark.parametrize("number", NUMBERS)
def test_fast_parser_gives_the_same_bits_as_the_full_parser(number: float) -> None:
    bar = {"time": FIRST_MS, "open": number, "high": number, "low": number, "close": number, "volume": number}
    written = orjson.dumps([bar, {**bar, "more": "text"}])
    plain = bar_parsing._parse_fast(written)
    assert plain is not None
    np.testing.assert_array_equal(plain, bar_parsing._parse_any(written))


@pytest.mark.parametrize(
    "other",
    [
        b'[{"time":1,"open":1,"high":1,"low":1,"close":true,"volume":1}]',
        b'[{"time":1,"open":1,"high":1,"low":1,"close":null,"volume":1}]',
        b'[{"time":1,"open":1,"high":1,"low":1,"close":"1","volume":1}]',
        b'[{"time":1,"open":1,"high":1,"low":1,"close":1e999,"volume":1}]',
        b'[{"time":1,"open":1,"high":1,"low":1,"close":1e19,"volume":1}]',
        b'[{"time":1,"open":1,"high":1,"low":1,"close":1,"volume":1,"note":"\xff"}]',
        b'[{"time":1,"open":1,"high":1,"low":1,"close":1}]',
        b'{"data":[]}',
        b"[]",
        b"",
    ],
)
def test_fast_parser_rejects_unusual_bars(other: bytes) -> None:
    assert bar_parsing._parse_fast(other) is None


def test_removed_file_is_noticed_without_parsing_the_others(tmp_path: Path) -> None:
    for symbol in "ABC":
        (tmp_path / f"BINANCE_{symbol}USDT_15m.json").write_bytes(content(3))
    before, _ = read(tmp_path)
    (tmp_path / "BINANCE_BUSDT_15m.json").unlink()
    after, parsed = read(tmp_path, before)
    assert parsed == 0
    assert after.bars["symbol"].unique().tolist() == ["AUSDT", "CUSDT"]
    assert len(after.bars) == 6
