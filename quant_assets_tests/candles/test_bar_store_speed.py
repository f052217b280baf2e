"""The bar store keeps up with eight exchanges of 1,100 markets, and a year of them stays small."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quant_assets.candles.bar_gaps import BarGaps
from quant_assets.candles.bar_periods import BarPeriods
from quant_assets.candles.bar_store import NEWEST_BARS, BarStore
from quant_assets.candles.candle_sources import join_sources
from quant_assets.common.timeframes import STEP_MS
from quant_assets_tests.candles.stored_bars import DAY_MS, START_MS, VALUES, store_in
from quant_assets_tests.speed import assert_within

pytestmark = pytest.mark.speed

EXCHANGES = [f"EXCHANGE{number}" for number in range(8)]
MARKETS = 1_100 // len(EXCHANGES) + 1
SYMBOLS = [f"COIN{number}USDT" for number in range(MARKETS)]
STORED = NEWEST_BARS + 100
DAYS_OF_A_YEAR = 366


def history(bars: int, step_ms: int, end_ms: int, seed: int) -> pd.DataFrame:
    """Return bars of all symbols of an exchange that end at a time: random walks of five digits, volumes of eight."""
    rng = np.random.default_rng(seed)
    walks = np.exp(np.cumsum(rng.normal(0, 0.003, (MARKETS, bars)), axis=1)).ravel()
    scale = np.repeat(10.0 ** rng.integers(0, 5, MARKETS), bars)
    lows, highs = (1 - abs(rng.normal(0, 0.002, walks.size)), 1 + abs(rng.normal(0, 0.002, walks.size)))
    prices = [np.rint(walks * factor * 1e4) / 1e4 * scale for factor in (1.0, highs, lows, 1.0)]
    volumes = np.rint(rng.lognormal(3, 2, walks.size) * 1e3) / 1e3
    times = np.tile(end_ms - step_ms * np.arange(bars, 0, -1), MARKETS)
    symbols = pd.Categorical.from_codes(np.repeat(np.arange(MARKETS), bars), SYMBOLS)
    return pd.DataFrame({"symbol": symbols, "time_ms": times, **dict(zip(VALUES, [*prices, volumes], strict=True))})


def filled_store(folder: Path) -> BarStore:
    """Return a store with STORED bars of each market and timeframe."""
    made = store_in(folder)
    for seed, exchange in enumerate(EXCHANGES):
        for timeframe, step_ms in STEP_MS.items():
            made.merge(exchange, timeframe, history(STORED, step_ms, START_MS, seed))
    return made


def windows_of(store: BarStore) -> Callable[[], None]:
    """Return a function that stores a window's bars of all markets, the last windows of a day one after another."""
    step_ms = STEP_MS["15m"]
    windows = iter(range(81, 97))  # when the object of the day is largest
    for seed, exchange in enumerate(EXCHANGES):
        store.merge(exchange, "15m", history(80, step_ms, START_MS + 80 * step_ms, seed))

    def store_window() -> None:
        end_ms = START_MS + next(windows) * step_ms
        for seed, exchange in enumerate(EXCHANGES):
            assert store.merge(exchange, "15m", history(1, step_ms, end_ms, seed)).new == MARKETS

    return store_window


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> BarStore:
    return filled_store(tmp_path_factory.mktemp("bars"))


def test_newest_bars_of_1100_markets_are_read_within_a_second(store: BarStore) -> None:
    found = store.newest_of_all()
    assert [len(one.bars) for one in found] == [MARKETS * NEWEST_BARS] * 2 * len(EXCHANGES)
    assert_within(1.0, store.newest_of_all)


def test_newest_bars_of_1100_markets_become_one_table_within_a_third_of_a_second(store: BarStore) -> None:
    tables = [one.bars for one in store.newest_of_all()]
    assert len(join_sources(None, tables).bars) == 2 * len(EXCHANGES) * MARKETS * NEWEST_BARS
    assert_within(0.35, lambda: join_sources(None, tables))


def test_a_window_of_1100_markets_is_stored_within_a_second(store: BarStore) -> None:
    assert_within(0.5, windows_of(store))


def test_what_is_stored_of_1100_markets_is_known_within_a_fifth_of_a_second(store: BarStore) -> None:
    def ask() -> None:
        for exchange in EXCHANGES:
            for timeframe in STEP_MS:
                assert len(store.last_times(exchange, timeframe)) == MARKETS
                assert len(BarGaps(store).between_bars(exchange, timeframe)) == 0

    assert_within(0.2, ask)


def test_a_year_of_1100_markets_takes_less_than_two_gigabytes(store: BarStore) -> None:
    total = 0.0
    for timeframe, step_ms in STEP_MS.items():
        periods = BarPeriods(store.lake, EXCHANGES[0], timeframe)
        whole = periods.stored()[2]
        size = store.lake.objects.size(f"exchange_bars/{EXCHANGES[0]}/{timeframe}/{whole.name}.parquet")
        days = (whole.end_ms - whole.start_ms) / DAY_MS
        assert len(periods.read_one(whole)) == MARKETS * days * DAY_MS / step_ms
        total += size / days * DAYS_OF_A_YEAR * len(EXCHANGES)
    assert total < 2e9


def test_history_in_batches_takes_little_longer_than_at_once(tmp_path: Path) -> None:
    bars = history(60 * 96, STEP_MS["15m"], START_MS, 1)
    place = bars["symbol"].cat.codes
    batches = [bars[(place >= first) & (place < first + 28)] for first in range(0, MARKETS, 28)]
    stores = iter(store_in(tmp_path / str(number)) for number in range(100))

    def store_all() -> None:
        found = next(stores)
        assert sum(found.merge("OKX", "15m", batch).new for batch in batches) == len(bars)

    assert_within(12.0, store_all, tries=2)
