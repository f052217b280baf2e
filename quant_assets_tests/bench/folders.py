"""Candle folders for the benchmarks: the sample of real markets, and any number of simulated ones."""

from __future__ import annotations

import os
from datetime import datetime
from itertools import cycle
from pathlib import Path

from quant_assets.common.windows import parse_timestamp
from quant_assets.emulator import DEFAULT_SEED, MARKER, ScannedMarket, SimulatedMarket
from quant_assets.emulator.candle_files import TIMEFRAMES, candle_file
from quant_assets_tests.world import SAMPLE_CANDLES

#: The time of the sample's last bars.
SAMPLE_MOMENT = parse_timestamp("2026-01-19T17:00:00Z")
#: Markets that are simulated; all others are links to these.
DISTINCT = 50


def real_folder() -> Path | None:
    """Return the folder of real candle files, or None if it is absent."""
    return SAMPLE_CANDLES if SAMPLE_CANDLES.is_dir() else None


def simulated_folder(folder: Path, markets: int, moment: datetime) -> Path:
    """Write candle files up to a moment, 1,500 bars of 15m and 700 of 4h each, of what `plain_universe` lists.

    Market 51 has the candles of market 1, and so on, as a hard link; no two names share a symbol.
    """
    folder.mkdir(parents=True)
    (folder / MARKER).write_text("A simulated market: nothing here was ever traded.\n")
    now = moment.timestamp()
    for number in range(1, min(markets, DISTINCT) + 1):
        market = SimulatedMarket("BINANCE", f"S{number:04d}", 10.0 ** (number % 9 - 3))
        scanned = ScannedMarket("BINANCE", f"S{number:04d}USDT", market)
        for timeframe in TIMEFRAMES:
            file_of(folder, number, timeframe).write_bytes(candle_file(DEFAULT_SEED, scanned, timeframe, now))
    for number, same in zip(range(DISTINCT + 1, markets + 1), cycle(range(1, DISTINCT + 1)), strict=False):
        for timeframe in TIMEFRAMES:
            os.link(file_of(folder, same, timeframe), file_of(folder, number, timeframe))
    return folder


def file_of(folder: Path, number: int, timeframe: str) -> Path:
    """Return the path of a simulated market's candle file; markets are numbered from 1."""
    return folder / f"BINANCE_S{number:04d}USDT_{timeframe}.json"


def replace_files(folder: Path, markets: int) -> None:
    """Replace the files of the first markets by new files with the same bars."""
    for number in range(1, markets + 1):
        for timeframe in TIMEFRAMES:
            path = file_of(folder, number, timeframe)
            content = path.read_bytes()
            path.unlink()  # so that the markets that link to it keep theirs
            path.write_bytes(content + b"\n")
