"""The promises of docs/performance.md that can be tested on a busy machine.

Ratios of processor time within one process, the best of several tries: a machine that is shared slows one side of a
ratio now and then, but not the best try of both.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quant_assets.candles import read_candles
from quant_assets.common.windows import Window, parse_timestamp
from quant_assets.signals import FeaturesCache, discover_strategies, features_table, run_strategy
from quant_assets.signals.features.bars import market_bars
from quant_assets_tests.bench.__main__ import PROGRAM, emulator
from quant_assets_tests.bench.folders import simulated_folder
from quant_assets_tests.bench.stages import parse
from quant_assets_tests.bench.talib_alone import bare_indicators
from quant_assets_tests.bench.timing import Times, run
from quant_assets_tests.signals.factories import random_candles
from quant_assets_tests.speed import assert_within, best_cpu_ratio

MOMENT = parse_timestamp("2026-01-19T17:00:00Z")
WINDOW = Window.last_complete(MOMENT)
NO_TABLE = pd.DataFrame()
MARKETS = 318


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulated_folder(tmp_path_factory.mktemp("bench") / "candles", MARKETS, MOMENT)


@pytest.fixture(scope="module")
def bars(folder: Path) -> pd.DataFrame:
    return read_candles(folder).bars


def analyse(bars: pd.DataFrame) -> None:
    found, cache = features_table(bars, NO_TABLE, {}, WINDOW), FeaturesCache()
    for strategy in discover_strategies().strategies:
        run_strategy(strategy, found, cache=cache)


@pytest.mark.speed
def test_analysis_takes_less_than_four_times_the_bare_indicators(bars: pd.DataFrame) -> None:
    series = market_bars(bars, WINDOW)
    assert best_cpu_ratio(lambda: analyse(bars), lambda: bare_indicators(series), tries=25) < 4


@pytest.mark.speed
def test_reading_takes_less_than_twice_as_long_as_parsing(folder: Path) -> None:
    assert best_cpu_ratio(lambda: read_candles(folder), lambda: parse(folder)) < 2


@pytest.mark.speed
def test_analysis_time_grows_linearly_with_the_markets(bars: pd.DataFrame) -> None:
    symbols = bars["symbol"].cat.categories
    few = bars[bars["symbol"].isin(symbols[: MARKETS // 6])].reset_index(drop=True)
    assert best_cpu_ratio(lambda: analyse(bars), lambda: analyse(few)) < 1.5 * 6


def test_features_of_the_same_table_are_built_once() -> None:
    found = features_table(random_candles(3), NO_TABLE, {}, WINDOW)
    cache = FeaturesCache()
    first, again = cache.features_of(found), cache.features_of(found.copy())
    assert all(one is other for one, other in zip(first, again, strict=True))


def test_features_of_another_table_are_not_reused() -> None:
    found = features_table(random_candles(3), NO_TABLE, {}, WINDOW)
    cache = FeaturesCache()
    cache.features_of(found)
    changed = found.assign(price=np.where(found.index == 1, 7.0, found["price"]))
    assert [features.price for features in cache.features_of(changed)] == changed["price"].tolist()
    assert [features.price for features in cache.features_of(found)] == found["price"].tolist()


@pytest.mark.speed
def test_repeated_scan_takes_less_than_seven_seconds(folder: Path, tmp_path: Path) -> None:
    def scan() -> None:
        command = [*PROGRAM, "scan", str(folder), "--as-of", MOMENT.isoformat(), "--json"]
        run(command, Times(), **environment, QUANT_DATA_DIR=str(tmp_path))

    with emulator([str(MARKETS)]) as environment:
        scan()
        assert_within(7, scan, tries=3)


def test_help_imports_neither_pandas_nor_dagster() -> None:
    program = (
        "import sys\nsys.argv = ['quant-assets', '--help']\nfrom quant_assets.cli import app\n"
        "try: app()\nexcept SystemExit: pass\n"
        "assert not {'dagster', 'pandas', 'numpy', 'talib', 'pyarrow'} & set(sys.modules), 'heavy'\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
