"""The assets `candle_features` and `watchlist`: what follows them, and folders that do not have them yet."""

from __future__ import annotations

import shutil
from datetime import timedelta

import dagster as dg
import orjson
import pandas as pd
import pytest

from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.definitions import build_definitions
from quant_assets.derivatives.datasets import DATASETS
from quant_assets.emulator import DEFAULT_KEY
from quant_assets.orchestration.instance import open_instance
from quant_assets.orchestration.replay import run_replay
from quant_assets.storage.lake import Lake
from quant_assets_tests.defs.test_conditions import FOLLOWING, Evaluated, fresh, run
from quant_assets_tests.world import World, environment

NEW = ("candle_features", "watchlist")


def materialize(evaluated: Evaluated, window: Window, *assets: str) -> dg.ExecuteInProcessResult:
    job = evaluated.definitions.resolve_implicit_global_asset_job_def()
    return job.execute_in_process(
        instance=evaluated.instance,
        partition_key=window.key,
        asset_selection=[dg.AssetKey(name) for name in assets],
        raise_on_error=False,
    )


def first_requested(world: World, name: str, window: Window, watchlist: pd.DataFrame | None) -> list[str]:
    """Refresh a window into an empty store, and return the symbols of the first request for derivatives."""
    with fresh(world, name) as evaluated:
        job = evaluated.definitions.resolve_implicit_global_asset_job_def()
        inputs = [dg.AssetKey(asset) for asset in ("candles", "candle_files", "symbol_map")]
        assert job.execute_in_process(instance=evaluated.instance, asset_selection=inputs).success
        if watchlist is not None:
            Lake(world.settings(name).lake_dir).write(
                ["watchlist"], Window(window.end - 4 * WINDOW_LENGTH).key, watchlist
            )
        before = len(world.emulator.accounting.accepted)
        run(evaluated, "refresh", window)
        requested = world.emulator.accounting.accepted[before:]
        return list(next(each.symbols for each in requested if each.endpoint == "/open-interest-history"))


def test_refresh_follows_the_newest_stored_watchlist(world: World) -> None:
    in_turn = first_requested(world, "no watchlist", world.window, None)
    assert len(in_turn) > 2
    assert in_turn == sorted(in_turn)
    symbol_map = Lake(world.settings("no watchlist").lake_dir).read(["symbol_map"])
    assert symbol_map is not None
    last = in_turn[-1]
    is_last = symbol_map["open_interest_symbol"] == last
    watchlist = symbol_map[["exchange", "symbol"]].assign(setup=False, near=is_last, volume=1.0, rank=0)
    assert first_requested(world, "older watchlist", world.window, watchlist) == [last]


def test_new_watchlist_starts_no_refresh(world: World) -> None:
    with fresh(world, "watched") as evaluated:
        moment = world.window.end + timedelta(seconds=50)
        evaluated.at(world.window.end)
        run(evaluated, "scan", world.window)
        assert evaluated.at(moment) == {}
        assert materialize(evaluated, world.window, "watchlist").success
        assert evaluated.at(moment + timedelta(seconds=30)) == {}
        assert materialize(evaluated, world.window, "candle_features").success
        following = {name: {world.window.key} for name in ("watchlist", *FOLLOWING)}
        assert evaluated.at(moment + timedelta(seconds=60)) == following
        assert evaluated.at(moment + timedelta(seconds=90)) == {}


@pytest.fixture(scope="module")
def older(world: World) -> Window:
    """Scan a window into the folder "older", and remove what an earlier version did not have."""
    window = Window(world.window.end - 2 * WINDOW_LENGTH)
    world.scan("older", window=window)
    settings = world.settings("older")
    with environment(DAGSTER_HOME=str(world.folder / "older" / "dagster")), open_instance(settings) as instance:
        instance.wipe_assets([dg.AssetKey(name) for name in NEW])
    for name in NEW:
        shutil.rmtree(settings.lake_dir / name)
    return window


def test_folder_of_an_earlier_version_goes_on_with_the_next_scan(world: World, older: Window) -> None:
    shutil.copytree(world.folder / "older", world.folder / "older goes on")
    with fresh(world, "older goes on") as evaluated:
        assert evaluated.at(older.end + timedelta(minutes=1)) == {}
        run(evaluated, "refresh", older)
        assert evaluated.at(older.end + timedelta(minutes=2)) == {}
        following = Window(older.end + WINDOW_LENGTH)
        run(evaluated, "scan", following)
        assert evaluated.at(following.end + timedelta(minutes=1)) == {}
        run(evaluated, "refresh", following)
        requested = evaluated.at(following.end + timedelta(minutes=2))
        assert requested == {name: {following.key} for name in FOLLOWING}


def test_features_alone_of_an_earlier_version_say_what_to_materialize(world: World, older: Window) -> None:
    shutil.copytree(world.folder / "older", world.folder / "older features")
    with fresh(world, "older features") as evaluated:
        result = materialize(evaluated, older, "features")
        (failed,) = [event for event in result.all_events if event.is_step_failure]
        assert failed.step_failure_data.user_failure_data is not None
        assert failed.step_failure_data.user_failure_data.description == (
            f"candle_features is missing for window {older.key}; materialize it first"
        )
        assert materialize(evaluated, older, "candle_features", "features").success


def test_replay_of_an_earlier_version_gives_the_same_signals(world: World, older: Window) -> None:
    shutil.copytree(world.folder / "older", world.folder / "older replayed")
    settings = world.settings("older replayed")
    lake = Lake(settings.lake_dir)
    before = lake.read_document(["master_feed"], older.key)
    with environment(COINALYZE_API_KEY=DEFAULT_KEY, DAGSTER_HOME=str(world.folder / "older replayed" / "dagster")):
        run_replay(settings, build_definitions(settings), world.candles, [older], lambda *_: None)
    after = lake.read_document(["master_feed"], older.key)
    assert before is not None
    assert after is not None
    assert orjson.loads(after)["signals"] == orjson.loads(before)["signals"]
    for name in (*NEW, *DATASETS):
        assert lake.has([name], older.key), name
