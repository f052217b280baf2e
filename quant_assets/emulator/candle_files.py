"""Candle files of the simulated market, as a scanner would have left them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import orjson

from quant_assets.common.files import replace_file
from quant_assets.common.progress import Progress, silent
from quant_assets.emulator.history import plain_numbers
from quant_assets.emulator.simulated import Candles, candles
from quant_assets.emulator.simulated_universe import ScannedMarket, SimulatedUniverse

MARKER = ".simulated"
"""The hidden file that says of a folder that nothing in it was ever traded."""

TIMEFRAMES = {"15m": 900, "4h": 14400}


@dataclass(frozen=True, slots=True)
class _Flaws:
    """What is wrong with a market's files: few bars, an end some hours ago, a hole, a file cut short."""

    bars_15m: int = 1500
    bars_4h: int = 700
    stale_seconds: int = 0
    hole: bool = False
    cut_at: int = 0


_SOUND = _Flaws()
_FLAWS = {
    ("MEXC", "114514USDT"): _Flaws(bars_15m=420, bars_4h=26),
    ("KUCOIN", "4USDTM"): _Flaws(bars_15m=41, bars_4h=3),
    ("BINANCE", "1000XUSDT"): _Flaws(bars_15m=1500, bars_4h=120),
    ("MEXC", "WBTCUSDT"): _Flaws(stale_seconds=5 * 3600),
    ("HYPERLIQUID", "YZYUSDT"): _Flaws(stale_seconds=30 * 3600),
    ("OKX", "MON-USDT-SWAP"): _Flaws(hole=True),
    ("KUCOIN", "DASHUSDTM"): _Flaws(cut_at=20_480),
}


def write_candle_files(universe: SimulatedUniverse, folder: Path, until: datetime, progress: Progress = silent) -> int:
    """Write EXCHANGE_SYMBOL_15m.json and _4h.json for the scanned markets and return the number of files.

    They hold the bars up to `until` (timezone-aware), the one in progress last, 1,500 and 700 of most. A few have
    little history, two are stale, one has a hole, and the 15-minute file of one is cut in the middle. A hidden
    marker file `.simulated` says what they are. Each file is replaced atomically, and as old as its newest bar; files
    of other names stay. Raises ValueError for a moment without a time zone, OSError as the system gives it.
    """
    if until.tzinfo is None:
        raise ValueError(f"{until.isoformat()} has no time zone")
    now = until.timestamp()
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / MARKER, b"A simulated market: nothing here was ever traded.\n")
    written = 0
    for number, scanned in enumerate(universe.scanned, start=1):
        for timeframe in TIMEFRAMES:
            path = folder / f"{scanned.exchange}_{scanned.symbol}_{timeframe}.json"
            replace_file(path, candle_file(universe.seed, scanned, timeframe, now))
            # A scraper that stopped some hours ago wrote the file then.
            written_at = now - _flaws_of(scanned).stale_seconds
            os.utime(path, (written_at, written_at))
            written += 1
        progress("candles", number, len(universe.scanned), f"{scanned.exchange} {scanned.symbol}")
    return written


def candle_file(seed: int, scanned: ScannedMarket, timeframe: str, now: float) -> bytes:
    """Return the content of a market's file of a timeframe ("15m" or "4h") as it stands at `now` (UNIX seconds)."""
    flaws = _flaws_of(scanned)
    seconds = TIMEFRAMES[timeframe]
    count = flaws.bars_15m if timeframe == "15m" else flaws.bars_4h
    until = now - flaws.stale_seconds
    newest = int(until) // seconds * seconds
    bars = candles(seed, scanned.market, seconds, newest - (count - 1) * seconds, newest + 1, until)
    content = candle_json(bars)
    if flaws.hole:
        rows = orjson.loads(content)
        content = orjson.dumps(rows[: -count // 3] + rows[-count // 3 + 7 :])
    return content[: flaws.cut_at] if flaws.cut_at and timeframe == "15m" else content


def _flaws_of(scanned: ScannedMarket) -> _Flaws:
    return _FLAWS.get((scanned.exchange, scanned.symbol), _SOUND)


def candle_json(bars: Candles) -> bytes:
    """Return bars as a candle file holds them: a list of {time (ms), open, high, low, close, volume}."""
    names = ("time", "open", "high", "low", "close", "volume")
    columns = [(bars.t * 1000).tolist(), *(plain_numbers(column) for column in bars[1:])]
    return orjson.dumps([dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)])
