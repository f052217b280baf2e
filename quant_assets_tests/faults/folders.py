"""Folders of candle files for tests to damage, and the feed of a folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pytest

from quant_assets.candles import CandleTables, read_candles
from quant_assets.common.windows import Window
from quant_assets.feed import build_feed, feed_problems
from quant_assets.signals import discover_strategies, features_table, run_strategy
from quant_assets_tests.faults.seeding import seeded_random
from quant_assets_tests.signals import random_markets, tick_markets, wedge_markets
from quant_assets_tests.signals.random_markets import Market
from quant_assets_tests.signals.reference_comparison import EXCHANGE, derivatives, symbol_map
from quant_assets_tests.signals.reference_inputs import Bar
from quant_assets_tests.world import SAMPLE_CANDLES

WINDOW = Window(datetime(2026, 1, 19, 17, 0, tzinfo=UTC))
STRATEGIES = discover_strategies().strategies
NOBODY_UID = 65534
"""The user id that tests switch to when they run as root, which ignores permissions."""


@cache
def made(count: int) -> tuple[Market, ...]:
    """Return generated markets of every kind, ordered by symbol: walks, trends, wedges that break out, ticks."""
    kinds = (random_markets.market, wedge_markets.wedge_market, wedge_markets.seesaw_market, tick_markets.tick_market)
    markets = [kinds[seed % len(kinds)](seed, WINDOW.end_ms) for seed in range(count)]
    return tuple(sorted(markets, key=lambda market: market.symbol))


def file_name(market: Market, timeframe: str) -> str:
    """Return the name of the candle file of a generated market."""
    return f"{EXCHANGE}_{market.symbol}_{timeframe}.json"


def content_of(bars: Iterable[Bar]) -> bytes:
    """Return bars in the format of a candle file."""
    return orjson.dumps([bar._asdict() | {"time": bar.time_ms} for bar in bars])


def files_of(markets: Iterable[Market]) -> dict[str, bytes]:
    """Return the candle files of generated markets, name → content."""
    return {
        file_name(market, timeframe): content_of(bars)
        for market in markets
        for timeframe, bars in (("15m", market.ltf), ("4h", market.htf))
    }


def real_files(markets: int) -> dict[str, bytes]:
    """Return the files of a random sample of real markets; skip the test where there are none."""
    if not SAMPLE_CANDLES.is_dir():
        pytest.skip(f"no sample candles at {SAMPLE_CANDLES}")
    symbols = sorted({path.name.rpartition("_")[0] for path in SAMPLE_CANDLES.glob("*_15m.json")})
    chosen = seeded_random("real").sample(symbols, min(markets, len(symbols)))
    names = [f"{symbol}_{timeframe}.json" for symbol in chosen for timeframe in ("15m", "4h")]
    files = {name: (SAMPLE_CANDLES / name).read_bytes() for name in names if (SAMPLE_CANDLES / name).is_file()}
    return {name: content for name, content in files.items() if _is_sound(content)}


def _is_sound(content: bytes) -> bool:
    try:
        return isinstance(orjson.loads(content), list)
    except orjson.JSONDecodeError:
        return False


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    """Write files in the given order, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def feed_of(
    folder: Path, markets: Sequence[Market] = (), window: Window = WINDOW, known: CandleTables | None = None
) -> dict[str, Any]:
    """Return the feed of a folder at a window, with the derivatives of `markets`; it must match its schema."""
    tables = read_candles(folder, known)
    inputs = (symbol_map(markets), derivatives(markets, window)) if markets else (symbol_map(()), {})
    features = features_table(tables.bars, *inputs, window)
    signals = {strategy: run_strategy(strategy, features) for strategy in STRATEGIES}
    files = tables.files.assign(simulated=False)
    feed = build_feed(features, signals, files, window, api=None, written_at=window.end)
    content = orjson.dumps(feed)
    assert feed_problems(content) == []
    read: dict[str, Any] = orjson.loads(content)
    return read


def signals_without(feed: dict[str, Any], *symbols: str) -> bytes:
    """Return the signals of a feed as JSON, without those of some symbols."""
    return orjson.dumps([signal for signal in feed["signals"] if signal["symbol"] not in symbols])


@contextmanager
def as_unprivileged_user(folder: Path) -> Iterator[Path]:
    """Run the block as an unprivileged user who owns the folder."""
    user = os.geteuid()
    if user == 0:
        for path in (folder, *folder.iterdir()):
            os.chown(path, NOBODY_UID, -1, follow_symlinks=False)
        os.seteuid(NOBODY_UID)
    try:
        yield folder
    finally:
        os.seteuid(user)
