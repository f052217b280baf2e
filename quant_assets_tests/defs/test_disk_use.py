"""The job `prune`: what it removes from the lake, the store and Dagster's records."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from datetime import timedelta

import dagster as dg
import pandas as pd
import pytest

from quant_assets.common.clock import Clock
from quant_assets.definitions import build_definitions
from quant_assets.emulator import DEFAULT_KEY
from quant_assets.orchestration.exchange_source import bar_store
from quant_assets.orchestration.instance import open_instance
from quant_assets_tests.world import World, environment


@pytest.fixture(scope="module", autouse=True)
def scanned(world: World) -> None:
    """Scan once, for both tests, with a bar of an exchange from the day of the scan."""
    world.scan("pruned")
    values = dict.fromkeys(("open", "high", "low", "close", "volume"), 1.0)
    bars = pd.DataFrame({"symbol": ["BTCUSDT"], "time_ms": [world.window.end_ms - 900_000], **values})
    bar_store(world.settings("pruned")).merge("BYBIT", "15m", bars)
    shutil.copytree(world.folder / "pruned", world.folder / "kept")


def test_prune_removes_old_windows_bars_and_runs(world: World) -> None:
    settings = world.settings("pruned")
    (settings.data_dir / "retention.toml").write_text(
        "windows_days = 7\nbars_days = 8\nruns_days = 1\nexchange_bars_days = 9\n"
    )
    later = Clock(seconds=(world.moment + timedelta(days=30)).timestamp)
    with environment(COINALYZE_API_KEY=DEFAULT_KEY, DAGSTER_HOME=str(world.folder / "pruned" / "dagster")):
        definitions = build_definitions(settings, clock=later)
        with open_instance(settings) as instance:
            (old,) = instance.get_runs(dg.RunsFilter(job_name="scan"))
            result = definitions.resolve_job_def("prune").execute_in_process(instance=instance)
            assert result.success
            (event,) = result.asset_materializations_for_node("disk_use")
            metadata = {name: value.value for name, value in event.metadata.items()}
            assert instance.get_run_by_id(old.run_id) is None
            assert instance.get_run_by_id(result.run_id) is not None
            kept = {run.run_id for run in instance.get_runs()}
    history = world.folder / "pruned" / "dagster" / "history" / "runs"
    assert {path.name.partition(".")[0] for path in history.iterdir()} == kept | {"index"}
    with closing(sqlite3.connect(history / "index.db")) as index:
        left = {row[0] for row in index.execute("SELECT DISTINCT run_id FROM event_logs")}
    assert left <= kept
    assert metadata["removed_files"] == 14
    assert len(bar_store(settings).read("BYBIT", "15m", 0, 2**62).bars) == 0
    assert metadata["removed_bars"] > 1000
    assert metadata["removed_runs"] >= 2
    assert metadata["freed_bytes"] > 100_000
    assert 0 < metadata["lake_bytes"] < metadata["bytes"]
    assert not list(settings.lake_dir.glob("*/*-*.parquet"))
    assert (settings.lake_dir / "candles.parquet").exists()
    assert settings.feed_path.exists()
    assert world.scan("pruned").feed["stats"]["markets"] > 0


def test_prune_after_a_day_removes_nothing(world: World) -> None:
    settings = world.settings("kept")
    later = Clock(seconds=(world.moment + timedelta(days=1)).timestamp)
    with environment(COINALYZE_API_KEY=DEFAULT_KEY, DAGSTER_HOME=str(world.folder / "kept" / "dagster")):
        definitions = build_definitions(settings, clock=later)
        with open_instance(settings) as instance:
            runs = instance.get_runs_count()
            result = definitions.resolve_job_def("prune").execute_in_process(instance=instance)
            assert instance.get_runs_count() == runs + 1
    (event,) = result.asset_materializations_for_node("disk_use")
    assert {event.metadata[name].value for name in ("removed_files", "removed_bars", "removed_runs")} == {0}
    assert len(bar_store(settings).read("BYBIT", "15m", 0, 2**62).bars) == 1
