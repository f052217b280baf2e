"""Backfills of several windows in one run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import dagster as dg
import orjson
import pytest

from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.definitions import build_definitions
from quant_assets.derivatives.datasets import DATASETS
from quant_assets.orchestration.market_list_run import fetch_market_lists_if_due
from quant_assets.storage.lake import Lake
from quant_assets_tests.world import World, kept_in_memory

SIGNALS = ("signals/breakout", "signals/breakout_v2", "signals/legacy")
ANALYSIS = ("candle_features", "watchlist", "features", *SIGNALS, "master_feed")


@pytest.fixture(scope="module")
def world(world: World) -> Iterator[World]:
    with kept_in_memory(world) as kept:
        yield kept


def backfill(world: World, name: str, assets: Iterable[str], windows: list[Window]) -> dg.ExecuteInProcessResult:
    """Materialize a range in one run, as Dagster does for a backfill."""
    tags = {
        "dagster/asset_partition_range_start": windows[0].key,
        "dagster/asset_partition_range_end": windows[-1].key,
        "dagster/backfill": "test",
    }
    keys = [dg.AssetKey(asset.split("/")) for asset in assets]
    settings = world.settings(name)
    definitions = build_definitions(settings)
    with world.opened(name) as instance:
        fetch_market_lists_if_due(settings, definitions, instance)
        return definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance, tags=tags, asset_selection=keys
        )


def windows_before(world: World, first: int, last: int) -> list[Window]:
    return [Window(world.window.end - back * WINDOW_LENGTH) for back in range(first, last - 1, -1)]


def feed_of(world: World, name: str, window: Window) -> bytes:
    feed = Lake(world.settings(name).lake_dir).read_document(["master_feed"], window.key)
    assert feed is not None
    return feed


@pytest.fixture(scope="module")
def replayed(world: World) -> World:
    """Scan four windows one by one, the newest first."""
    for window in reversed(windows_before(world, 3, 0)):
        world.scan("replayed", window=window)
    return world


@dataclass(frozen=True)
class Analysed:
    """The signals of four windows before and after a backfill of their analysis, its result, and what it spent."""

    before: list[Any]
    after: list[Any]
    result: dg.ExecuteInProcessResult
    calls: int


@pytest.fixture(scope="module")
def analysed(replayed: World) -> Analysed:
    windows, spent = windows_before(replayed, 3, 0), replayed.emulator.accounting.calls
    before = [orjson.loads(feed_of(replayed, "replayed", window))["signals"] for window in windows]
    result = backfill(replayed, "replayed", ANALYSIS, windows)
    after = [orjson.loads(feed_of(replayed, "replayed", window))["signals"] for window in windows]
    return Analysed(before, after, result, replayed.emulator.accounting.calls - spent)


def test_backfill_gives_the_same_signals_as_single_scans(analysed: Analysed) -> None:
    assert analysed.result.success
    assert orjson.dumps(analysed.after) == orjson.dumps(analysed.before)
    assert analysed.calls == 0
    assert len({orjson.dumps(signals) for signals in analysed.after}) == 4


def test_each_window_of_a_backfill_has_its_own_metadata(replayed: World, analysed: Analysed) -> None:
    windows, result = windows_before(replayed, 3, 0), analysed.result
    for asset in ANALYSIS:
        events = result.asset_materializations_for_node(asset.replace("/", "__"))
        assert [event.partition for event in events] == [window.key for window in windows], asset
        assert all(event.metadata["seconds"].value >= 0 for event in events), asset
    feeds = result.asset_materializations_for_node("master_feed")
    assert [bool(event.metadata["published"].value) for event in feeds] == [False, False, False, True]


def test_backfill_costs_one_call_per_symbol_and_dataset(world: World) -> None:
    windows = windows_before(world, 300, 297)
    before = len(world.emulator.accounting.accepted)
    candles = backfill(world, "range", ("candles", "candle_files", "symbol_map"), windows)
    assert candles.success
    result = backfill(world, "range", (*DATASETS, *ANALYSIS), windows)
    assert result.success
    requested = Counter(
        (request.endpoint, symbol)
        for request in world.emulator.accounting.accepted[before:]
        for symbol in request.symbols
    )
    assert max(requested.values()) == 1
    assert len(requested) > 40
    lake = Lake(world.settings("range").lake_dir)
    for window in windows:
        table = lake.read(["open_interest"], window.key)
        assert table is not None
        assert table["closed_at_ms"].max() == window.end_ms
    # Only the newest window has the costs.
    spent = [event.metadata.get("calls") for event in result.asset_materializations_for_node("derivatives")]
    assert sum(entry is not None for entry in spent) == len(DATASETS)


def test_backfilled_derivatives_equal_those_of_single_windows(world: World) -> None:
    windows = windows_before(world, 201, 200)
    for name in ("single", "ranged"):
        backfill(world, name, ("candles", "candle_files", "symbol_map"), windows)
    for window in windows:
        backfill(world, "single", DATASETS, [window])
    backfill(world, "ranged", DATASETS, windows)
    single, ranged = (Lake(world.settings(name).lake_dir) for name in ("single", "ranged"))
    for dataset in DATASETS:
        for window in windows:
            one, other = (lake.read([dataset], window.key) for lake in (single, ranged))
            assert one is not None
            assert other is not None
            assert one.equals(other), (dataset, window.key)


def test_backfill_of_older_windows_keeps_the_newer_feed(replayed: World) -> None:
    path = replayed.settings("replayed").feed_path
    before = path.read_bytes()
    assert backfill(replayed, "replayed", ("master_feed",), windows_before(replayed, 3, 1)).success
    assert path.read_bytes() == before
