"""Measure the replay of many windows: `python -m quant_assets_tests.signals.measure_replay [MARKETS WINDOWS]`.

The numbers are processor time, so that other programs on the machine matter less. Without arguments it takes 188 real
markets and 1,317 windows (skipped where there are none), then 1,100 simulated markets and a week; with them simulated
markets only. Simulated markets are random walks of 700 bars of 4h, and of 1,500 bars of 15m before the first window.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from quant_assets.common.timeframes import STEP_MS
from quant_assets.common.windows import Window
from quant_assets.signals import (
    FeaturesCache,
    candle_features_table,
    discover_strategies,
    join_features,
    run_strategy,
)
from quant_assets.signals.features.bars import MAX_BARS, MarketBars, market_bars, market_series
from quant_assets.signals.replay import replay
from quant_assets.signals.replay.features import feature_batches
from quant_assets_tests.bench.talib_alone import bare_indicators
from quant_assets_tests.signals.factories import NO_TABLE, REAL_CANDLES, WINDOW, real_candles
from quant_assets_tests.signals.replay_comparison import windows_until

STRATEGIES = discover_strategies().strategies
REAL_MARKETS, REAL_WINDOWS = 188, 1317
SIMULATED_MARKETS, WEEK = 1100, 672
SAMPLE = 8
"""Windows that are computed one by one."""


def processor_seconds(work: Callable[[], object]) -> float:
    """Return the processor time of some work."""
    began = time.process_time()
    work()
    return time.process_time() - began


def real_markets(count: int) -> pd.DataFrame:
    """Return the candles table of the real markets with the most 15m bars."""
    table = real_candles()
    keys = table["exchange"].astype("str") + " " + table["symbol"].astype("str")
    bars = keys[table["timeframe"] == "15m"].value_counts()
    return table[keys.isin(bars.index[:count])].reset_index(drop=True)


def simulated_markets(count: int, windows: int) -> pd.DataFrame:
    """Return the candles table of random walks that end with WINDOW."""
    rng = np.random.default_rng(1)
    parts = []
    for timeframe, bars in (("15m", MAX_BARS + windows), ("4h", 700)):
        step = STEP_MS[timeframe]
        last = WINDOW.end_ms // step * step - step
        close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.004, (count, bars)), axis=1)).ravel()
        wick = np.abs(rng.normal(0.0, 0.002, (2, count * bars)))
        parts.append(
            pd.DataFrame(
                {
                    "number": np.repeat(np.arange(count), bars),
                    "timeframe": timeframe,
                    "time_ms": np.tile(last - step * np.arange(bars - 1, -1, -1), count),
                    "high": close * (1.0 + wick[0]),
                    "low": close * (1.0 - wick[1]),
                    "close": close,
                    "volume": rng.lognormal(5.0, 1.0, count * bars),
                }
            )
        )
    table = pd.concat(parts).sort_values(["number", "timeframe", "time_ms"], ignore_index=True)
    names = [f"S{number:05d}USDT" for number in range(count)]
    return table.assign(
        exchange=pd.Categorical(["BINANCE"] * len(table)),
        symbol=pd.Categorical.from_codes(table["number"].to_numpy(np.int64), pd.Index(names)),
        timeframe=table["timeframe"].astype("category"),
    )


def one_by_one(table: pd.DataFrame, windows: Sequence[Window]) -> None:
    """Compute the signal tables window by window."""
    for window in windows:
        features = join_features(candle_features_table(table, window), NO_TABLE, {}, window)
        cache = FeaturesCache()
        for strategy in STRATEGIES:
            run_strategy(strategy, features, cache=cache)


def measure(title: str, table: pd.DataFrame, windows: Sequence[Window]) -> int:
    """Replay all windows, and some of them one by one, and print the rates; return the number of market-windows."""
    markets: list[MarketBars] = market_series(table)
    sample = windows[:: max(1, len(windows) // SAMPLE)]
    counts = [len(market_bars(table, window)) for window in sample]
    features_alone = processor_seconds(lambda: [None for _ in feature_batches(markets, windows)])
    rows: list[int] = []

    def whole() -> None:
        rows.extend(len(table) for table in replay(table, {}, windows, STRATEGIES).values())

    whole_seconds = processor_seconds(whole)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    talib_seconds = processor_seconds(lambda: bare_indicators(markets))
    alone_rate = sum(counts) / processor_seconds(lambda: one_by_one(table, sample))
    rate = rows[0] / whole_seconds
    print(
        f"{title}: {len(markets)} markets, {len(windows)} windows, {rows[0]:,} market-windows "
        f"in {whole_seconds:.2f} s: {rate:,.0f} a second; candle features {features_alone:.2f} s, judging and tables "
        f"{whole_seconds - features_alone:.2f} s; TA-Lib alone, once over each series, {talib_seconds:.2f} s; "
        f"window by window {alone_rate:,.0f} a second, 1/{rate / alone_rate:.1f}; peak {peak:,.0f} MiB",
        flush=True,
    )
    return rows[0]


def measure_in_two_processes(title: str, table: pd.DataFrame, windows: Sequence[Window], rows: int) -> None:
    """Replay the two halves of the markets at the same time, each in a process of its own, and print the wall time."""
    half = table.groupby(["exchange", "symbol"], observed=True, sort=True).ngroup() % 2
    parts = [table[half == number].reset_index(drop=True) for number in (0, 1)]
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=replay, args=(part, {}, windows, STRATEGIES)) for part in parts]
    began = time.monotonic()
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    seconds = time.monotonic() - began
    print(f"{title}, two processes: {seconds:.2f} s: {rows / seconds:,.0f} market-windows a second", flush=True)


def main() -> None:
    """Measure, and print."""
    if len(sys.argv) > 1:
        count, windows = map(int, sys.argv[1:])
        measure("simulated", simulated_markets(count, windows), windows_until(WINDOW, windows))
        return
    if REAL_CANDLES.is_dir():
        table, windows = real_markets(REAL_MARKETS), windows_until(WINDOW, REAL_WINDOWS)
        measure_in_two_processes("real", table, windows, measure("real", table, windows))
    table, windows = simulated_markets(SIMULATED_MARKETS, WEEK), windows_until(WINDOW, WEEK)
    measure_in_two_processes("simulated", table, windows, measure("simulated", table, windows))


if __name__ == "__main__":
    main()
