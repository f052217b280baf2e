"""Measure storing and reading the bars of 1,100 markets: `python -m quant_assets_tests.candles.measure_bar_store`."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from quant_assets.candles.candle_sources import join_sources
from quant_assets_tests.candles.test_bar_store_speed import EXCHANGES, MARKETS, filled_store, windows_of

REPEATS = 7


def measure(title: str, work: Callable[[], object]) -> None:
    """Do the work several times, and print the seconds it took."""
    wall, processor = [], []
    for _ in range(REPEATS):
        began, used = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - began)
        processor.append(time.process_time() - used)
    print(
        f"{title}: best {min(wall):.2f} s, median {statistics.median(wall):.2f} s; "
        f"processor time {statistics.median(processor):.2f} s",
        flush=True,
    )


def main() -> None:
    """Measure, and print."""
    with tempfile.TemporaryDirectory() as folder:
        store = filled_store(Path(folder))
        print(f"{len(EXCHANGES)} exchanges of {MARKETS} markets in {folder}, {store.size() / 1e6:.0f} MB")
        measure("store a window, one bar of each market", windows_of(store))
        measure("read the newest 1,500 bars of 15m and 4h of all", store.newest_of_all)
        tables = [one.bars for one in store.newest_of_all()]
        measure("join them to one table", lambda: join_sources(None, tables))


if __name__ == "__main__":
    main()
