"""Time each stage of a scan in this process.

Usage: python -m quant_assets_tests.bench.stages read|analyse FOLDER LAKE MOMENT REPEATS
Prints JSON: stage → times. `read` leaves the candles in the lake, where `analyse` finds them.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pandas as pd

from quant_assets.candles import CandleTables, read_candles, source_is_simulated
from quant_assets.common.windows import Window, parse_timestamp
from quant_assets.derivatives.datasets import ENTRIES
from quant_assets.feed import build_feed, feed_problems
from quant_assets.markets import resolve_markets
from quant_assets.signals import FeaturesCache, Strategy, discover_strategies, features_table, run_strategy
from quant_assets.signals.features.bars import market_bars
from quant_assets.storage.lake import Lake
from quant_assets_tests.bench.folders import replace_files
from quant_assets_tests.bench.talib_alone import bare_indicators
from quant_assets_tests.bench.timing import Times

CHANGED = 30
TO_TABLES = "stored candles to signal tables"
TO_FEED = "feed: built, written, checked"
Stages = dict[str, Times]


def read(folder: Path, lake: Lake, repeats: int) -> Stages:
    """Time reading the folder: cold, unchanged, and with 30 changed markets; and orjson alone."""
    stages = {name: Times() for name in ("orjson alone", "candles, cold", "candles, nothing changed")}
    for _ in range(repeats):
        stages["orjson alone"].measure(parse, folder)
        tables: CandleTables = stages["candles, cold"].measure(read_candles, folder)
        stages["candles, nothing changed"].measure(read_candles, folder, tables)
    if source_is_simulated(folder):
        stages["candles, 30 markets changed"] = Times()
        for _ in range(repeats):
            replace_files(folder, CHANGED)
            tables = stages["candles, 30 markets changed"].measure(read_candles, folder, tables)
    lake.write(["candles"], None, tables.bars)
    lake.write(["candle_files"], None, tables.files.assign(simulated=False))
    return stages


def parse(folder: Path) -> None:
    """Read and parse every file with orjson."""
    for file in sorted(folder.glob("*.json")):
        with suppress(orjson.JSONDecodeError):
            orjson.loads(file.read_bytes())


def analyse(lake: Lake, window: Window, repeats: int) -> Stages:
    """Time the stages from candles to the bytes of the feed, and bare TA-Lib on the same arrays."""
    strategies = discover_strategies().strategies
    names = ["bare TA-Lib", "features", *(f"strategy {strategy.key}" for strategy in strategies)]
    stages = {name: Times() for name in (*names, TO_TABLES, TO_FEED)}
    files = stored(lake, "candle_files")
    markets = files.loc[files["status"] == "read", ["exchange", "symbol"]].drop_duplicates()
    symbol_map = resolve_markets(markets, None, datasets=ENTRIES, now=datetime.now(UTC))
    for _ in range(repeats):
        bars = stored(Lake(lake.objects), "candles")
        stages["bare TA-Lib"].measure(bare_indicators, market_bars(bars, window))
        features: pd.DataFrame = stages["features"].measure(features_table, bars, symbol_map, {}, window)
        cache = FeaturesCache()
        signals: dict[Strategy, pd.DataFrame] = {
            strategy: stages[f"strategy {strategy.key}"].measure(run_strategy, strategy, features, None, cache)
            for strategy in strategies
        }
        stages[TO_FEED].measure(publish, features, signals, files, window, cache)
        del bars
        stages[TO_TABLES].measure(compute_signals, Lake(lake.objects), symbol_map, window)
    return stages


def publish(
    features: pd.DataFrame,
    signals: dict[Strategy, pd.DataFrame],
    files: pd.DataFrame,
    window: Window,
    cache: FeaturesCache,
) -> None:
    """Build the feed, write it as JSON, and check it against its schema."""
    feed = build_feed(features, signals, files, window, api=None, written_at=datetime.now(UTC), cache=cache)
    assert not feed_problems(orjson.dumps(feed))


def compute_signals(lake: Lake, symbol_map: pd.DataFrame, window: Window) -> None:
    """Compute every signal table from the stored candles."""
    features, cache = features_table(stored(lake, "candles"), symbol_map, {}, window), FeaturesCache()
    for strategy in discover_strategies().strategies:
        run_strategy(strategy, features, cache=cache)


def stored(lake: Lake, name: str) -> pd.DataFrame:
    """Return a table that must exist."""
    found = lake.read([name])
    assert found is not None
    return found


def main() -> None:
    """Measure, and print the times as JSON."""
    what, folder, root, moment, repeats = sys.argv[1:]
    lake, window = Lake(Path(root)), Window.last_complete(parse_timestamp(moment))
    found = read(Path(folder), lake, int(repeats)) if what == "read" else analyse(lake, window, int(repeats))
    sys.stdout.buffer.write(orjson.dumps({name: asdict(times) for name, times in found.items()}))


if __name__ == "__main__":
    main()
