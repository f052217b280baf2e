"""Write candle files of the simulated market, with the defects that real ones have."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import orjson

from quant_assets.common.files import replace_file
from quant_assets.common.progress import Progress, silent
from quant_assets.emulator.history import to_json_numbers
from quant_assets.emulator.simulated_market import Candles, simulate_candles
from quant_assets.emulator.simulated_universe import ScannedMarket, SimulatedUniverse

MARKER = ".simulated"
"""The hidden file that marks a folder of simulated candles."""

TIMEFRAMES = {"15m": 900, "4h": 14400}


@dataclass(frozen=True, slots=True)
class _Defects:
    """Defects of a market's files: few bars, a stale end, a gap, or a truncated file."""

    bars_15m: int = 1500
    bars_4h: int = 700
    stale_seconds: int = 0
    gap: bool = False
    truncate_at: int = 0


_NO_DEFECTS = _Defects()
_DEFECTS = {
    ("MEXC", "114514USDT"): _Defects(bars_15m=420, bars_4h=26),
    ("KUCOIN", "4USDTM"): _Defects(bars_15m=41, bars_4h=3),
    ("BINANCE", "1000XUSDT"): _Defects(bars_15m=1500, bars_4h=120),
    ("MEXC", "WBTCUSDT"): _Defects(stale_seconds=5 * 3600),
    ("HYPERLIQUID", "YZYUSDT"): _Defects(stale_seconds=30 * 3600),
    ("OKX", "MON-USDT-SWAP"): _Defects(gap=True),
    ("KUCOIN", "DASHUSDTM"): _Defects(truncate_at=20_480),
}


def write_candle_files(universe: SimulatedUniverse, folder: Path, until: datetime, progress: Progress = silent) -> int:
    """Write EXCHANGE_SYMBOL_15m.json and _4h.json for the scanned markets; return the number of files.

    They hold the bars up to `until` (timezone-aware), including the bar in progress: 1,500 and 700 for most markets.
    A few have little history, two are stale, one has a gap, and one 15-minute file is truncated. Also writes the
    hidden marker file `.simulated`. Each file is replaced atomically, with the modification time of its data; files of
    other names stay. Raises ValueError for a naive `until`, and OSError.
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
            # A stale file was last written when its scraper stopped.
            written_at = now - _defects_of(scanned).stale_seconds
            os.utime(path, (written_at, written_at))
            written += 1
        progress("candles", number, len(universe.scanned), f"{scanned.exchange} {scanned.symbol}")
    return written


def candle_file(seed: int, scanned: ScannedMarket, timeframe: str, now: float) -> bytes:
    """Return the content of a market's file of a timeframe ("15m" or "4h") at `now` (UNIX seconds)."""
    defects = _defects_of(scanned)
    seconds = TIMEFRAMES[timeframe]
    count = defects.bars_15m if timeframe == "15m" else defects.bars_4h
    until = now - defects.stale_seconds
    newest = int(until) // seconds * seconds
    bars = simulate_candles(seed, scanned.market, seconds, newest - (count - 1) * seconds, newest + 1, until)
    content = to_candle_json(bars)
    if defects.gap:
        rows = orjson.loads(content)
        content = orjson.dumps(rows[: -count // 3] + rows[-count // 3 + 7 :])
    return content[: defects.truncate_at] if defects.truncate_at and timeframe == "15m" else content


def _defects_of(scanned: ScannedMarket) -> _Defects:
    return _DEFECTS.get((scanned.exchange, scanned.symbol), _NO_DEFECTS)


def to_candle_json(bars: Candles) -> bytes:
    """Return bars in the format of a candle file: a list of {time (ms), open, high, low, close, volume}."""
    names = ("time", "open", "high", "low", "close", "volume")
    columns = [(bars.t * 1000).tolist(), *(to_json_numbers(column) for column in bars[1:])]
    return orjson.dumps([dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)])
