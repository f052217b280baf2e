"""The assets `trades` and `track_record` through Dagster: which feed a trade follows, and what a failure costs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import orjson
import pandas as pd
import pytest

from quant_assets.common.clock import Clock
from quant_assets.common.settings import Settings
from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.definitions import build_definitions
from quant_assets.emulator import SimulatedUniverse, simulated_universe, write_candle_files
from quant_assets.evaluation import read_trades, track_record
from quant_assets.evaluation.live import changed_final_trades
from quant_assets.feed import feed_problems
from quant_assets.orchestration.job_runs import plain_metadata, quiet_run_config
from quant_assets.storage.lake import Lake
from quant_assets_tests.evaluation.live import random_trades
from quant_assets_tests.world import environment

#: A moment at which the strategies give setups in this market.
MOMENT = datetime(2026, 2, 3, 12, 0, tzinfo=UTC)
WINDOW = Window.last_complete(MOMENT)
NEXT = Window(MOMENT + WINDOW_LENGTH)
RECORD = ["trades", "track_record", "master_feed"]


@dataclass
class Folder:
    """A data folder, and how its assets are made at a time of its own."""

    data: Path
    candles: Path
    instance: dg.DagsterInstance

    @property
    def settings(self) -> Settings:
        return Settings(data_dir=self.data, candles_dir=self.candles)

    @property
    def lake(self) -> Lake:
        return Lake(self.settings.lake_dir)

    @property
    def trades(self) -> pd.DataFrame:
        trades = read_trades(self.lake)
        assert trades is not None
        return trades

    def make(self, window: Window, seconds: float, assets: list[str] | None = None) -> dg.ExecuteInProcessResult:
        """Run the job `scan`, or some of its assets, so many seconds after a window's end."""
        now = window.end.timestamp() + seconds
        clock = Clock(seconds=lambda: now, sleep=lambda _: None, monotonic=lambda: now)
        definitions = build_definitions(self.settings, clock=clock)
        job = definitions.resolve_job_def("scan")
        whole: dict[str, dict[str, Any]] = {
            "candles": {"closed_by_ms": window.end_ms},
            "derivatives": {"max_wait_seconds": 0.0},
        }
        with environment(COINALYZE_API_KEY=None):
            return job.execute_in_process(
                instance=self.instance,
                partition_key=window.key,
                asset_selection=None if assets is None else [dg.AssetKey(name) for name in assets],
                run_config=quiet_run_config(**({} if assets else whole)),
            )

    def feed(self) -> dict[str, Any]:
        feed: dict[str, Any] = orjson.loads(self.settings.feed_path.read_bytes())
        return feed


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Folder]:
    """Two windows, each scanned 20 seconds after its end."""
    folder = tmp_path_factory.mktemp("record")
    universe = simulated_universe()
    few = SimulatedUniverse(universe.listings, seed=universe.seed, scanned=universe.scanned[::10])
    write_candle_files(few, folder / "candles", NEXT.end)
    with dg.DagsterInstance.ephemeral() as instance:
        made = Folder(folder / "data", folder / "candles", instance)
        made.data.mkdir()
        for window in (WINDOW, NEXT):
            assert made.make(window, 20).success
        yield made


@pytest.fixture
def copied(scanned: Folder, tmp_path: Path) -> Folder:
    shutil.copytree(scanned.data, tmp_path / "data")
    return Folder(tmp_path / "data", scanned.candles, scanned.instance)


def checks(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {found.check_name: bool(found.passed) for found in result.get_asset_check_evaluations()}


def metadata(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    for event in result.get_asset_materialization_events():
        if event.asset_key == dg.AssetKey(asset):
            return plain_metadata(event.step_materialization_data.materialization.metadata)
    raise AssertionError(f"{asset} was not made")


def setups(feed: dict[str, Any]) -> set[tuple[str, str, str]]:
    return {(each["strategy_name"], each["exchange"], each["symbol"]) for each in feed["signals"] if each["setup"]}


def test_scan_follows_the_window_before_and_shows_its_own_setups(scanned: Folder) -> None:
    first = orjson.loads(scanned.lake.read_document(["master_feed"], WINDOW.key) or b"")
    trades = scanned.trades
    followed = trades[trades["window"] == WINDOW.key]
    assert setups(first)
    assert set(zip(followed["strategy"], followed["exchange"], followed["symbol"], strict=True)) == setups(first)
    assert set(followed["source"]) == {"published"}
    assert set(followed["published_at_ms"]) == {WINDOW.end_ms + 20_000}
    shown = trades[trades["window"] == NEXT.key]
    new = setups(scanned.feed()) - setups(first)
    assert set(zip(shown["strategy"], shown["exchange"], shown["symbol"], strict=True)) == new
    assert set(shown["outcome"]) <= {"pending"}


@pytest.mark.parametrize("feed_is_stored", [True, False])
def test_trade_follows_the_first_feed_of_its_window(copied: Folder, feed_is_stored: bool) -> None:
    """Also if the stored feed was deleted, or its run was killed between publishing and storing it."""
    before = copied.lake.read(["published_setups"], NEXT.key)
    assert before is not None
    if not feed_is_stored:
        shutil.rmtree(copied.settings.lake_dir / "master_feed")
    for key in ("legacy", "breakout", "breakout_v2"):
        table = copied.lake.read(["signals", key], NEXT.key)
        assert table is not None
        changed = table.assign(stop_loss=table["stop_loss"] * 0.9, take_profit=table["take_profit"] * 1.1)
        copied.lake.write(["signals", key], NEXT.key, changed)
    assert copied.make(NEXT, 300, RECORD).success
    assert copied.make(NEXT, 310, ["trades"]).success
    kept = copied.lake.read(["published_setups"], NEXT.key)
    assert kept is not None
    pd.testing.assert_frame_equal(kept, before)
    trades = copied.trades[copied.trades["window"] == NEXT.key]
    same = trades.merge(before, on=["strategy", "exchange", "symbol"])
    assert (same["stop_x"] == same["stop_y"]).all()
    assert (trades["published_at_ms"] == NEXT.end_ms + 20_000).all()


def test_window_whose_first_feed_came_later_is_late(copied: Folder) -> None:
    for name in ("published_setups", "master_feed"):
        shutil.rmtree(copied.settings.lake_dir / name)
    for name in ("trades", "trade_episodes", "followed_windows"):
        (copied.settings.lake_dir / f"{name}.parquet").unlink()
    assert copied.make(WINDOW, 15 * 60, ["master_feed"]).success
    assert copied.make(NEXT, 15 * 60 - 1, ["master_feed"]).success
    assert copied.make(NEXT, 1_000, ["trades"]).success
    sources = copied.trades.groupby("window")["source"].agg(set).to_dict()
    assert sources[WINDOW.key] == {"late"}
    assert set().union(*(found for key, found in sources.items() if key != WINDOW.key)) <= {"published"}


def test_folder_without_trades_gets_them_from_the_stored_signals(copied: Folder) -> None:
    expected = copied.trades
    shutil.rmtree(copied.settings.lake_dir / "published_setups")
    for name in ("trades", "trade_episodes", "followed_windows"):
        (copied.settings.lake_dir / f"{name}.parquet").unlink()
    result = copied.make(NEXT, 60, ["trades"])
    assert metadata(result, "trades")["windows_followed"] == 2
    found = copied.trades
    followed = expected["published_at_ms"] > 0
    pd.testing.assert_frame_equal(found[found["window"] == WINDOW.key], expected[followed])
    assert set(found["source"]) == {"published"}


@pytest.mark.parametrize("broken", ["lake/trades.parquet", "lake/trade_episodes.parquet", "evaluation.toml"])
def test_scan_publishes_its_feed_if_the_record_fails(copied: Folder, broken: str) -> None:
    (copied.data / broken).write_bytes(b"neither a table nor TOML")
    copied.settings.feed_path.unlink()
    result = copied.make(NEXT, 40, RECORD)
    assert result.success
    assert not checks(result)["up_to_date"]
    assert broken.rpartition("/")[2] in metadata(result, "trades")["problem"]
    assert feed_problems(copied.settings.feed_path.read_bytes()) == []
    assert (copied.data / broken).read_bytes() == b"neither a table nor TOML"


def test_signals_with_a_setup_show_the_record_of_their_like(copied: Folder) -> None:
    strategies = sorted({strategy for strategy, _, _ in setups(copied.feed())})
    past = random_trades(2_000, end_ms=NEXT.end_ms)
    past = past.assign(strategy=[strategies[number % len(strategies)] for number in range(len(past))])
    copied.lake.write(["trades"], None, past)
    assert copied.make(NEXT, 40, ["track_record", "master_feed"]).success
    feed = copied.feed()
    assert feed_problems(copied.settings.feed_path.read_bytes()) == []
    shown = [signal["track_record"] for signal in feed["signals"] if signal["setup"]]
    assert shown
    assert all(record["n"] > 0 and record["mean_r"] is not None for record in shown)
    assert all(signal["track_record"] is None for signal in feed["signals"] if not signal["setup"])
    stored = copied.lake.read(["track_record"], NEXT.key)
    assert stored is not None
    pd.testing.assert_frame_equal(stored, track_record(past, NEXT.end_ms))


def test_metadata_have_the_trades_and_mean_result_of_each_strategy(copied: Folder) -> None:
    past = random_trades(500, end_ms=NEXT.end_ms)
    copied.lake.write(["trades"], None, past)
    found = metadata(copied.make(NEXT, 40, ["track_record"]), "track_record")
    assert found["Legacy: n"] > 0
    assert isinstance(found["Legacy: mean_r"], float)
    assert found["BreakoutV2: n"] == 0
    assert "BreakoutV2: mean_r" not in found


def test_old_trades_are_removed_and_the_others_stay(copied: Folder) -> None:
    (copied.data / "retention.toml").write_text("trades_days = 90\n")
    past = random_trades(300, end_ms=NEXT.end_ms).sort_values(["entry_ms", "strategy", "symbol"], ignore_index=True)
    copied.lake.write(["trades"], None, past)
    result = copied.make(NEXT, 40, ["trades"])
    assert checks(result) == {"up_to_date": True, "final_trades_stay": True, "replay_agrees": True}
    limit_ms = int((NEXT.end - timedelta(days=90)).timestamp() * 1000)
    kept = copied.trades[copied.trades["final"]]
    assert set(kept["entry_ms"]) == set(past.loc[past["entry_ms"] >= limit_ms, "entry_ms"])


def test_a_change_of_a_final_trade_is_found() -> None:
    before = random_trades(50, end_ms=NEXT.end_ms)
    assert changed_final_trades(before, before) == []
    after = before.assign(net_r=before["net_r"].where(before.index != 7, 1.5))
    assert len(changed_final_trades(before, after)) == 1
    assert len(changed_final_trades(before, before.drop(index=before["entry_ms"].idxmax()))) >= 1
