"""Measure how much a first scan of an empty store has fetched after two and after ten minutes.

Usage: python -m quant_assets_tests.derivatives.measure_first_scan CANDLES [AS_OF] [CALLS_PER_MINUTE]
CANDLES is a folder of candle files, AS_OF a time to scan (that of their last bar). Prints a table: the
markets whose dataset is known, of those that Coinalyze has it for. The refresh runs in `simulate`, against the market
list of the emulator's `universe_of_candles`.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from quant_assets.candles import read_candles
from quant_assets.common.timeframes import STEP_MS
from quant_assets.common.windows import Window, parse_timestamp
from quant_assets.derivatives.datasets import DATASETS, ENTRIES
from quant_assets.derivatives.planner import build_items
from quant_assets.derivatives.policy import RefreshPolicy
from quant_assets.derivatives.simulation import RESPONSE_SECONDS, policy_order, simulate
from quant_assets.emulator import universe_of_candles
from quant_assets.markets import market_list_table, resolve_markets
from quant_assets.signals import build_watchlist, candle_features_table


def known_after_seconds(items: pd.DataFrame, calls_per_minute: int) -> np.ndarray:
    """Return when each item was first known, in seconds from the start; NaN if it takes over 15 minutes."""
    order = policy_order(RefreshPolicy())
    asked: list[np.ndarray] = []

    def recorded(items: pd.DataFrame, end: float, asked_at: np.ndarray) -> pd.DataFrame:
        asked.append(asked_at.copy())
        return order(items, end, asked_at)

    simulate(items, recorded, calls_per_minute=calls_per_minute, hours=0.5)
    return asked[1] + RESPONSE_SECONDS


def last_close(folder: Path) -> datetime:
    """Return the time at which the newest 15m bar of the candle files closed."""
    files = read_candles(folder).files
    newest_ms = files.loc[files["timeframe"] == "15m", "last_ms"].max() + STEP_MS["15m"]
    return datetime.fromtimestamp(newest_ms / 1000, UTC)


def markets_table(folder: Path, now: datetime, calls_per_minute: int) -> pd.DataFrame:
    """Return one row for each dataset and market that has it: dataset, setup, near (bool), seconds until known."""
    candles = read_candles(folder)
    universe = universe_of_candles(folder)
    market_list = market_list_table(universe.exchanges, [row.body() for row in universe.rows], now)
    markets = candles.files.loc[candles.files["status"] == "read", ["exchange", "symbol"]].drop_duplicates()
    symbol_map = resolve_markets(markets, market_list, datasets=ENTRIES, now=now)
    window = Window.last_complete(now)
    watchlist = build_watchlist(candle_features_table(candles.bars, window), window)
    items = build_items(symbol_map, {}, watchlist)
    items["seconds"] = known_after_seconds(items, calls_per_minute)
    tables = []
    for number, dataset in enumerate(DATASETS):
        served = symbol_map[["exchange", "symbol"]].assign(source=symbol_map[f"{dataset}_symbol"])
        served = served.merge(watchlist, on=["exchange", "symbol"])
        of_dataset = items.loc[items["dataset"] == number, ["symbol", "seconds"]]
        served = served.merge(of_dataset.rename(columns={"symbol": "source"}), on="source")
        tables.append(served.assign(dataset=dataset))
    return pd.concat(tables)[["dataset", "setup", "near", "seconds"]]


def main() -> None:
    """Print the table."""
    folder, as_of, calls_per_minute = sys.argv[1:] + ["", "", "40"][len(sys.argv) - 1 :]
    now = parse_timestamp(as_of) if as_of else last_close(Path(folder))
    markets = markets_table(Path(folder), now, int(calls_per_minute))
    groups = {"with a setup": markets["setup"], "in focus": markets["near"], "all": markets["near"].notna()}
    print("| minutes | dataset | " + " | ".join(groups) + " |")
    print("|---|---|" + "---|" * len(groups))
    for minutes in (2, 10):
        for dataset in DATASETS:
            chosen = [markets[group & (markets["dataset"] == dataset)]["seconds"] for group in groups.values()]
            counts = [f"{int((seconds <= minutes * 60).sum())} of {len(seconds)}" for seconds in chosen]
            print(f"| {minutes} | {dataset} | " + " | ".join(counts) + " |")


if __name__ == "__main__":
    main()
