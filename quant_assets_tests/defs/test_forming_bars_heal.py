"""Forming bars in a candle file are not used; the window is right once the file is written again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import dagster as dg
import orjson
import pandas as pd
import pytest

from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.storage.lake import Lake
from quant_assets_tests.world import World, kept_in_memory, small_world

STEP_MS = {"15m": 900_000, "4h": 14_400_000}
FALSE_CLOSE = 1.5


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with small_world(tmp_path_factory.mktemp("forming"), markets=4) as made, kept_in_memory(made) as kept:
        yield kept


def write_as_of(world: World, moment_ms: int, false_close: float = 1.0) -> None:
    """Rewrite every file as a scraper would at a moment: with the forming bar last, whose close is wrong."""
    for file in sorted(world.candles.glob("*.json")):
        step_ms = STEP_MS[file.stem.rpartition("_")[2]]
        try:
            bars = [bar for bar in ORIGINAL[file.name] if bar["time"] <= moment_ms]
        except KeyError:
            continue
        if bars and bars[-1]["time"] + step_ms > moment_ms:
            close = bars[-1]["close"] * false_close
            bars[-1] = {**bars[-1], "close": close, "high": max(bars[-1]["high"], close)}
        file.write_bytes(orjson.dumps(bars))
        os.utime(file, (moment_ms / 1000,) * 2)


ORIGINAL: dict[str, list[dict[str, Any]]] = {}


@pytest.fixture(scope="module", autouse=True)
def _originals(small: World) -> None:
    for file in small.candles.glob("*.json"):
        try:
            ORIGINAL[file.name] = orjson.loads(file.read_bytes())
        except orjson.JSONDecodeError:
            continue


def true_close(world: World, entry: dict[str, Any], window: Window) -> float:
    """Return the close of the last bar of a market that had ended by the window's end."""
    bars = ORIGINAL[f"{entry['exchange']}_{entry['symbol']}_15m.json"]
    return float(next(bar["close"] for bar in reversed(bars) if bar["time"] + 900_000 <= window.end_ms))


def test_no_window_uses_the_price_of_a_forming_bar(small: World) -> None:
    window = Window(small.window.end - 4 * WINDOW_LENGTH)
    write_as_of(small, window.start.timestamp() * 1000 + 45_000, FALSE_CLOSE)  # 45 s into the window's bar
    feed = small.scan("heals", window=window).feed
    before = Window(window.end - WINDOW_LENGTH)
    fresh = [s for s in feed["signals"] if s["price_age_seconds"] == 900]
    assert fresh
    assert all(s["price"] == true_close(small, s, before) for s in fresh)
    assert feed["stats"]["candles"]["held_back"] > 0
    with small.opened("heals") as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey("candles"))
    metadata = event.asset_materialization.metadata  # type: ignore[union-attr]
    assert metadata["bars_held_back"].value == feed["stats"]["candles"]["held_back"]

    write_as_of(small, window.end_ms + 45_000)
    again = small.scan("heals", window=window).feed
    healed = [s for s in again["signals"] if s["price_age_seconds"] == 0]
    assert healed
    assert all(s["price"] == true_close(small, s, window) for s in healed)
    assert again["published_at_ms"] == feed["published_at_ms"] < again["last_updated"]


def test_forming_bars_stored_by_version_0_1_are_read_again(small: World) -> None:
    window = Window(small.window.end - 4 * WINDOW_LENGTH)
    write_as_of(small, window.end_ms + 45_000, FALSE_CLOSE)
    small.scan("upgraded", window=window)
    lake = Lake(small.settings("upgraded").lake_dir)
    bars, files = lake.read(["candles"]), lake.read(["candle_files"])
    assert bars is not None
    assert files is not None
    # As version 0.1 left them: with the forming bars, and without the count of them.
    forming = bars.groupby(["exchange", "symbol", "timeframe"], observed=True).tail(1)
    forming = forming.assign(time_ms=forming["time_ms"] + forming["timeframe"].map(STEP_MS).astype("int64"))
    stored = pd.concat([bars, forming.assign(close=1e9, high=1e9)], ignore_index=True)
    order = ["exchange", "symbol", "timeframe", "time_ms"]
    lake.write(["candles"], None, stored.sort_values(order, ignore_index=True))
    lake.write(["candle_files"], None, files.drop(columns="held_back"))
    later = Window(window.end + WINDOW_LENGTH)
    feed = small.scan("upgraded", window=later).feed
    assert max(s["price"] for s in feed["signals"]) < 1e9
    stored_again = lake.read(["candles"])
    assert stored_again is not None
    assert stored_again["close"].max() < 1e9
