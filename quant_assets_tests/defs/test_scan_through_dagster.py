"""Scans through a real Dagster instance, with real files and HTTP."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import orjson
import pandas as pd
import pytest

from quant_assets.common.clock import Clock
from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.definitions import build_definitions
from quant_assets.defs import markets
from quant_assets.derivatives.datasets import DATASETS
from quant_assets.emulator import Faults
from quant_assets.feed import Publication, feed_problems
from quant_assets.markets import list_of_provider
from quant_assets.orchestration.market_list_run import fetch_market_lists_if_due
from quant_assets.orchestration.scan import ScanFailed, ScanResult, run_scan
from quant_assets.storage.lake import Lake
from quant_assets_tests.faults.seeding import LONG
from quant_assets_tests.world import SAMPLE_CANDLES, World, cut_candles, kept_in_memory, small_world

SIGNALS = ("signals/legacy", "signals/breakout", "signals/breakout_v2")
BY_WINDOW = (*DATASETS, "candle_features", "watchlist", "features", *SIGNALS, "master_feed")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Make a world of this moment: no bar may close between its window and a scan in the middle of a long run."""
    with small_world(tmp_path_factory.mktemp("now")) as made, kept_in_memory(made) as kept:
        yield kept


@pytest.fixture(scope="module")
def scanned(world: World) -> World:
    """Scan the world once, into the folder `scanned`."""
    world.scan("scanned")
    return world


def newest_feed(scanned: World) -> dict[str, Any]:
    """Return the feed of the folder `scanned`."""
    feed: dict[str, Any] = orjson.loads((scanned.folder / "scanned" / "master_feed.json").read_bytes())
    return feed


@pytest.fixture(scope="module")
def older(scanned: World) -> tuple[bytes, ScanResult]:
    """Scan the third window before the newest in a folder with the newest; return the feed before, and the result."""
    newest = scanned.scanned("older").read_bytes()
    return newest, scanned.scan("older", window=Window(scanned.window.end - 3 * WINDOW_LENGTH))


def test_a_scan_materializes_every_asset_of_its_window(scanned: World) -> None:
    with scanned.opened("scanned") as instance:
        for name in BY_WINDOW:
            keys = instance.get_materialized_partitions(dg.AssetKey(name.split("/")))
            assert keys == {scanned.window.key}, name
        for name in ("candles", "candle_files", "coinalyze_markets", "symbol_map"):
            assert instance.get_latest_materialization_event(dg.AssetKey(name)) is not None, name


def test_every_materialization_has_row_count_and_seconds(scanned: World) -> None:
    with scanned.opened("scanned") as instance:
        for name in ("candles", "symbol_map", *BY_WINDOW):
            event = instance.get_latest_materialization_event(dg.AssetKey(name.split("/")))
            assert event is not None
            metadata = event.asset_materialization.metadata  # type: ignore[union-attr]
            assert metadata["dagster/row_count"].value > 0, name
            assert metadata["seconds"].value >= 0, name


def test_every_table_has_the_columns_and_types_of_its_schema(scanned: World) -> None:
    settings = scanned.settings("scanned")
    lake = Lake(settings.lake_dir)
    specs = {spec.key.to_user_string(): spec for spec in build_definitions(settings).resolve_all_asset_specs()}
    for name, spec in specs.items():
        if name in {"master_feed", "disk_use", "exchange_markets", "exchange_candles"}:
            continue
        table = lake.read(name.split("/"), scanned.window.key if spec.partitions_def else None)
        assert table is not None, name
        shown = {column.name: column.type for column in spec.metadata["dagster/column_schema"].schema.columns}
        assert {column: str(dtype) for column, dtype in table.dtypes.items()} == shown, name


def test_derivatives_have_costs_and_age_as_metadata(scanned: World) -> None:
    with scanned.opened("scanned") as instance:
        for dataset in DATASETS:
            event = instance.get_latest_materialization_event(dg.AssetKey(dataset))
            metadata = event.asset_materialization.metadata  # type: ignore[union-attr]
            for name in ("calls", "requests", "cache_hits", "waited_seconds", "coverage", "median_age_seconds"):
                assert metadata[name].value is not None, (dataset, name)


def test_checks_are_reported(scanned: World) -> None:
    with scanned.opened("scanned") as instance:
        for asset, check in (
            ("symbol_map", "every_market_has_a_row"),
            *(("features", check) for check in ("unusable", "with_open_interest", "finite")),
            ("master_feed", "contract"),
        ):
            key = dg.AssetCheckKey(dg.AssetKey(asset), check)
            records = instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
            assert records[0].status.value == "SUCCEEDED"


def test_feed_is_valid_with_a_signal_for_each_market_and_strategy(scanned: World) -> None:
    content = (scanned.folder / "scanned" / "master_feed.json").read_bytes()
    feed = orjson.loads(content)
    assert feed_problems(content) == []
    assert feed["stats"]["signals"] == len(feed["signals"]) == feed["stats"]["markets"] * 3
    assert feed["simulated"]
    assert feed["window"] == scanned.window.key
    statuses = {signal["oi_metadata"]["status"] for signal in feed["signals"]}
    assert statuses == {"resolved", "aggregated", "neutral"}


def test_unknown_open_interest_is_null_in_the_feed(scanned: World) -> None:
    feed = newest_feed(scanned)
    known = [s["oi_metadata"] for s in feed["signals"] if s["oi_metadata"]["value"] is not None]
    assert len(known) > len(feed["signals"]) * 0.7
    assert all(interest["value"] > 0 and interest["unit"] and interest["coinalyze_symbol"] for interest in known)
    assert len({interest["value"] for interest in known}) > len(known) / 6
    neutral = [s for s in feed["signals"] if s["oi_metadata"]["status"] == "neutral"]
    assert all(s["oi_metadata"]["value"] is None for s in neutral)
    parts = [s["details"]["score_breakdown"]["oi_flow"] for s in neutral if s["details"]["reason"] not in WAITING]
    assert parts
    assert set(parts) == {10.0}


WAITING = {"insufficient_history", "stale_candles"}


def test_scan_of_an_older_window_keeps_the_newer_feed(world: World, older: tuple[bytes, ScanResult]) -> None:
    newest, scan = older
    assert scan.publication is Publication.NEWER_WINDOW
    assert Path(scan.feed_path).name == f"{scan.feed['window'].replace(':', '')}.json.gz"
    assert (world.folder / "older" / "master_feed.json").read_bytes() == newest


def test_scanning_a_window_again_costs_no_call_and_parses_no_unchanged_file(scanned: World) -> None:
    lake = Lake(scanned.folder / "scanned" / "lake")
    before, first, calls = lake.read(["candles"]), newest_feed(scanned), scanned.emulator.accounting.calls
    file = sorted(scanned.candles.glob("*_4h.json"))[0]
    content, state = file.read_bytes(), file.stat()
    try:
        with file.open("rb+") as handle:
            handle.write(b"#" * 40)
        os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
        again = scanned.scan("scanned")
    finally:
        file.write_bytes(content)
    assert scanned.emulator.accounting.calls == calls
    assert again.api["calls"] == 0
    assert again.api["cache_hits"] > 0
    assert orjson.dumps(again.feed["signals"]) == orjson.dumps(first["signals"])
    after = lake.read(["candles"])
    assert before is not None
    assert after is not None
    assert after.equals(before)


@pytest.mark.parametrize("windows_back", [40, *([0] if LONG else [])])
def test_signals_do_not_depend_on_data_after_the_window(scanned: World, windows_back: int) -> None:
    window = Window(scanned.window.end - windows_back * WINDOW_LENGTH)
    whole = scanned.scan(f"whole{windows_back}", window=window).feed if windows_back else newest_feed(scanned)
    cut = scanned.folder / f"cut{windows_back}"
    cut_candles(scanned.candles, cut, window.end_ms)
    clock = scanned.emulator.clock
    scanned.emulator.clock = lambda: window.end + timedelta(seconds=20)
    try:
        with_cut_data = replace(scanned, candles=cut).scan(f"cut{windows_back}d", window=window)
    finally:
        scanned.emulator.clock = clock
    assert len(whole["signals"]) > 30
    assert orjson.dumps(with_cut_data.feed["signals"]) == orjson.dumps(whole["signals"])


def test_feed_without_a_key_is_neutral(world: World) -> None:
    result = world.scan("no_key", key=None)
    assert result.feed["stats"]["resolution"]["neutral"] == result.feed["stats"]["markets"]
    usable = [s for s in result.feed["signals"] if s["details"]["reason"] not in WAITING]
    assert {s["details"]["score_breakdown"]["oi_flow"] for s in usable} == {10.0}
    assert result.api["calls"] == 0
    assert not result.key_refused


def test_refused_key_is_reported_and_keeps_stored_data(world: World) -> None:
    world.scanned("refused")
    window = Window(world.window.end - 8 * WINDOW_LENGTH * 4 * 3)
    result = world.scan("refused", window=window, key="no longer valid")
    assert result.key_refused
    assert result.feed["stats"]["markets"] > 0


def test_feed_is_written_when_the_provider_is_down(world: World) -> None:
    world.emulator.faults = Faults(server_error=1.0)
    try:
        result = world.scan("down")
    finally:
        world.emulator.faults = Faults()
    assert result.feed["stats"]["resolution"]["neutral"] == result.feed["stats"]["markets"]
    assert any("market list" in note for note in result.notes)


def test_feed_is_written_when_the_store_is_damaged(world: World) -> None:
    world.scanned("damaged")
    for file in (world.folder / "damaged" / "store" / "loopback").glob("derivatives.sqlite*"):
        file.unlink()
    (world.folder / "damaged" / "store" / "loopback" / "derivatives.sqlite").write_bytes(b"no database at all" * 99)
    result = world.scan("damaged")
    assert result.feed["stats"]["freshness"]["open_interest"]["fresh"] == 0
    with world.opened("damaged") as instance:
        key = dg.AssetCheckKey(dg.AssetKey("open_interest"), "refresh")
        record = instance.event_log_storage.get_asset_check_execution_history(key, limit=1)[0]
        assert record.status.value == "FAILED"


def test_features_use_the_newest_earlier_derivatives(world: World, older: tuple[bytes, ScanResult]) -> None:
    settings = world.settings("older")
    between = Window(world.window.end - WINDOW_LENGTH)
    with world.opened("older") as instance:
        job = build_definitions(settings).resolve_implicit_global_asset_job_def()
        result = job.execute_in_process(
            instance=instance,
            partition_key=between.key,
            asset_selection=[dg.AssetKey("candle_features"), dg.AssetKey("features")],
        )
    assert result.success
    table = Lake(settings.lake_dir).read(["features"], between.key)
    assert table is not None
    # Of the earlier windows only the third before the newest has derivatives, which are two windows older here.
    assert table["oi_age_seconds"].dropna().min() == 1800.0


def test_folder_without_candles_fails_with_advice(tmp_path: Path, world: World) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ScanFailed, match="EXCHANGE_SYMBOL_TIMEFRAME"):
        replace(world, folder=tmp_path, candles=tmp_path / "empty", in_memory={}).scan("none")


@pytest.mark.parametrize("missing", ["15m", "4h"])
def test_folder_without_a_timeframe_fails_and_names_it(tmp_path: Path, world: World, missing: str) -> None:
    (tmp_path / "candles").mkdir()
    there = "4h" if missing == "15m" else "15m"
    (tmp_path / "candles" / f"BINANCE_BTCUSDT_{there}.json").write_text("[]")
    with pytest.raises(ScanFailed, match=f"candles has no {missing} candle file; .* BINANCE_BTCUSDT_{missing}.json"):
        replace(world, folder=tmp_path, candles=tmp_path / "candles", in_memory={}).scan("none")


def test_broken_file_does_not_affect_others(tmp_path: Path) -> None:
    with small_world(tmp_path, markets=6) as made, kept_in_memory(made) as world:
        good = world.scan("good").feed["stats"]["markets"]
        (world.candles / "BINANCE_BROKENUSDT_15m.json").write_bytes(b'[{"time": 17')
        (world.candles / "notes.txt").write_text("not a candle file")
        (world.candles / "OKX_龙虾-USDT_15m.json").write_bytes(b"[]")
        result = world.scan("bad")
        assert result.feed["stats"]["markets"] == good
        assert set(result.feed["stats"]["skipped"]) >= {
            "BINANCE_BROKENUSDT_15m.json",
            "notes.txt",
            "OKX_龙虾-USDT_15m.json",
        }
        shutil.rmtree(world.candles)
        with pytest.raises(ScanFailed, match="Folder not found"):
            world.scan("gone")


@pytest.fixture(scope="module")
def real_candles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sixth of the sample's markets, of all its exchanges."""
    if not SAMPLE_CANDLES.is_dir():
        pytest.skip(f"no sample candles at {SAMPLE_CANDLES}")
    folder = tmp_path_factory.mktemp("real")
    for file in sorted(SAMPLE_CANDLES.glob("*_15m.json"))[::6]:
        for path in (file, file.with_name(file.name.replace("_15m", "_4h"))):
            shutil.copy2(path, folder)
    return folder


def test_signals_of_real_candles_do_not_depend_on_later_data(tmp_path: Path, real_candles: Path) -> None:
    from datetime import datetime  # noqa: PLC0415

    from quant_assets.emulator import Emulator, universe_of_candles  # noqa: PLC0415
    from quant_assets_tests.world import CALLS_PER_MINUTE  # noqa: PLC0415

    window = Window(datetime.fromisoformat("2026-01-12T00:00:00+00:00"))
    feeds = []
    for name in ("whole", "cut"):
        folder = tmp_path / name
        if name == "cut":
            cut_candles(real_candles, folder / "candles", window.end_ms)
        candles = folder / "candles" if name == "cut" else real_candles
        universe = universe_of_candles(real_candles)
        clock = (
            (lambda: window.end + timedelta(seconds=5)) if name == "cut" else (lambda: datetime.now(window.end.tzinfo))
        )
        with (
            Emulator(universe, calls_per_minute=CALLS_PER_MINUTE, clock=clock) as emulator,
            kept_in_memory(World(folder, emulator, candles, window.end)) as made,
        ):
            feeds.append(made.scan("data", window=window).feed)
    assert len(feeds[0]["signals"]) >= 120
    assert orjson.dumps(feeds[0]["signals"]) == orjson.dumps(feeds[1]["signals"])


def test_refresh_continues_after_a_scan_and_updates_the_feed(world: World) -> None:
    settings = world.settings("two_speeds")
    moment = world.window.end + timedelta(minutes=2)  # whatever the clock on the wall has come to since
    definitions = build_definitions(settings)
    with world.opened("two_speeds") as instance:
        fetch_market_lists_if_due(settings, definitions, instance)
        first = run_scan(
            settings,
            definitions,
            world.candles,
            world.window,
            max_wait_seconds=0,
            exchange="",
            symbol="",
            progress=lambda *_: None,
            given=instance,
        )
        assert first.feed["stats"]["freshness"]["open_interest"]["fresh"] == 0
        assert first.api["calls"] == 0
        before = dg.evaluate_automation_conditions(definitions, instance, evaluation_time=moment)
        refreshed = definitions.resolve_job_def("refresh").execute_in_process(
            instance=instance, partition_key=world.window.key
        )
        assert refreshed.success
        after = dg.evaluate_automation_conditions(definitions, instance, cursor=before.cursor, evaluation_time=moment)
        requested = [result.key for result in after.results if result.true_subset.size]
        assert {key.to_user_string() for key in requested} == {"features", *SIGNALS, "master_feed"}
        followed = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance, partition_key=world.window.key, asset_selection=requested
        )
        assert followed.success
        again = dg.evaluate_automation_conditions(definitions, instance, cursor=after.cursor, evaluation_time=moment)
        assert again.total_requested == 0
    feed = orjson.loads(settings.feed_path.read_bytes())
    assert feed["window"] == world.window.key
    assert feed["stats"]["freshness"]["open_interest"]["fresh"] > feed["stats"]["markets"] / 2
    assert feed["stats"]["api"]["calls"] > 0


def test_invalid_feed_is_neither_stored_nor_published(world: World) -> None:
    settings = world.settings("blocked")
    world.scanned("blocked")
    lake = Lake(settings.lake_dir)
    published, kept = settings.feed_path.read_bytes(), lake.read_document(["master_feed"], world.window.key)
    table = lake.read(["signals", "legacy"], world.window.key)
    assert table is not None
    lake.write(["signals", "legacy"], world.window.key, table.assign(score=float("nan")))
    with world.opened("blocked") as instance:
        result = (
            build_definitions(settings)
            .resolve_implicit_global_asset_job_def()
            .execute_in_process(
                instance=instance,
                partition_key=world.window.key,
                asset_selection=[dg.AssetKey("master_feed")],
                raise_on_error=False,
            )
        )
    assert not result.success
    (check,) = [found for found in result.get_asset_check_evaluations() if found.check_name == "contract"]
    assert not check.passed
    assert settings.feed_path.read_bytes() == published
    assert lake.read_document(["master_feed"], world.window.key) == kept


def test_damaged_partition_falls_back_to_an_earlier_one(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    for number, key in enumerate(("2026-01-19-16:15", "2026-01-19-16:30", "2026-01-19-16:45")):
        lake.write(["open_interest"], key, pd.DataFrame({"number": [number]}))
    assert lake.newest_undamaged(["open_interest"], "2026-01-19-16:45")["number"].tolist() == [2]
    damaged = tmp_path / "open_interest" / "2026-01-19-1645.parquet"
    damaged.write_bytes(damaged.read_bytes()[:50])
    assert lake.newest_undamaged(["open_interest"], "2026-01-19-16:45")["number"].tolist() == [1]
    assert lake.newest_undamaged(["open_interest"], "2026-01-19-16:00").empty


def test_market_list_of_another_provider_is_ignored(scanned: World) -> None:
    market_list = Lake(scanned.folder / "scanned" / "lake").read(["coinalyze_markets"])
    assert list_of_provider(market_list, "loopback") is not None
    assert list_of_provider(market_list, "api.coinalyze.net") is None
    assert list_of_provider(None, "loopback") is None


def test_market_list_is_retried_when_the_provider_is_out_of_reach(
    scanned: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(markets, "RETRY_SECONDS", (0.1, 0.1))
    scanned.emulator.faults = Faults(server_error=1.0)
    seconds = [0.0]
    slept: list[float] = []

    def sleep(duration: float) -> None:
        seconds[0] += duration
        slept.append(duration)
        if len(slept) == 6:  # in the second of three tries
            scanned.emulator.faults = Faults()

    clock = Clock(sleep=sleep, monotonic=lambda: seconds[0])
    settings = scanned.settings("retried")
    try:
        job = build_definitions(settings, clock=clock).resolve_job_def("market_list")
        with scanned.opened("retried") as instance:
            result = job.execute_in_process(instance=instance)
    finally:
        scanned.emulator.faults = Faults()
    assert result.success
    assert sum(event.is_step_up_for_retry for event in result.all_events) == 1


def test_strategies_use_the_parameters_of_the_user(scanned: World) -> None:
    def used_in(name: str) -> tuple[set[str], dict[str, float]]:
        feed = orjson.loads((scanned.folder / name / "master_feed.json").read_bytes())
        with scanned.opened(name) as instance:
            event = instance.get_latest_materialization_event(dg.AssetKey(["signals", "legacy"]))
        assert event is not None
        reasons = {entry["details"]["reason"] for entry in feed["signals"] if entry["strategy_name"] == "Legacy"}
        return reasons, event.asset_materialization.metadata["parameters"].value  # type: ignore[union-attr]

    reasons, parameters = used_in("scanned")
    assert "score_below_threshold" in reasons
    assert parameters["threshold"] == 70.0
    scanned.scanned("parameters")
    (scanned.folder / "parameters" / "strategies.toml").write_text("[legacy]\nthreshold = 0\n")
    scanned.scan("parameters")
    reasons, parameters = used_in("parameters")
    assert "score_below_threshold" not in reasons
    assert parameters["threshold"] == 0.0


def test_window_that_has_not_ended_by_a_slow_clock_is_scanned(scanned: World) -> None:
    """Workers go by the database's time, Dagster goes by the machine's."""
    window = Window(scanned.window.end + 4 * WINDOW_LENGTH)
    scanned.scanned("slow clock")
    settings = scanned.settings("slow clock")
    with scanned.opened("slow clock") as instance:
        job = build_definitions(settings).resolve_job_def("analyse")
        tags = {"dagster/partition": window.key}
        assert job.execute_in_process(instance=instance, tags=tags, raise_on_error=False).success
    assert Lake(settings.lake_dir).read_document(["master_feed"], window.key) is not None
