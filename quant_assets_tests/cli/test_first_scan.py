"""A first scan of stale candles publishes nothing and suggests a command that scans them."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import orjson
import pytest

from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.definitions import build_definitions
from quant_assets.orchestration.instance import open_instance
from quant_assets_tests.forking import run
from quant_assets_tests.world import World, environment

NEWEST_MS = 1_768_843_800_000  # 2026-01-19 17:30, when the newest bar opens
AT_NEWEST_BAR = ("--as-of", "2026-01-19T17:45:00Z", "--max-wait", "0")


def stale_folder(folder: Path, newest_ms: int = NEWEST_MS) -> Path:
    """Write a market whose candles end on another day, and one with too few bars."""
    folder.mkdir()
    for market, count in (("BINANCE_BTCUSDT", 300), ("MEXC_SSVUSDT", 20)):
        for timeframe, seconds in (("15m", 900), ("4h", 14_400)):
            last = newest_ms // (seconds * 1000) * seconds * 1000
            rows = [
                {"time": last - age * seconds * 1000, "open": 1, "high": 2, "low": 1, "close": 1.5, "volume": 1}
                for age in reversed(range(count))
            ]
            (folder / f"{market}_{timeframe}.json").write_bytes(orjson.dumps(rows))
    return folder


@pytest.fixture(scope="module")
def stale(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scan a folder of stale candles as of their newest bar, and return it; the data folder is `stale`."""
    candles = stale_folder(tmp_path_factory.mktemp("stale") / "candles")
    done = run("scan", str(candles), *AT_NEWEST_BAR, env=world.environment("stale"), cwd=candles)
    assert done.returncode == 0, done.stderr
    return candles


def test_stale_first_scan_exits_2_and_suggests_a_working_command(world: World, tmp_path: Path) -> None:
    candles = stale_folder(tmp_path / "old candles")
    variables = world.environment("first_stale")
    calls = world.emulator.accounting.calls
    done = run("scan", str(candles), env=variables, cwd=tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert "the newest bar closed at 2026-01-19 17:45 UTC; nothing was published" in line
    assert not (world.folder / "first_stale" / "master_feed.json").exists()
    assert world.emulator.accounting.calls == calls
    words = shlex.split(line.partition("To scan as of that bar: ")[2])[1:]
    assert words == ["scan", str(candles), "--as-of", "2026-01-19T17:45:00Z"]
    done = run(*words, "--max-wait", "0", env=variables, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    feed = orjson.loads((world.folder / "first_stale" / "master_feed.json").read_bytes())
    assert feed["window"] == "2026-01-19-17:30"
    assert "stale_candles" not in {signal["details"]["reason"] for signal in feed["signals"]}


def test_later_scan_of_stale_candles_withdraws_the_setups(world: World, stale: Path, tmp_path: Path) -> None:
    """Setups of an existing feed must not remain for a window without candles."""
    variables = world.environment("later_stale")
    shutil.copytree(world.folder / "stale", world.folder / "later_stale")
    done = run("scan", str(stale), "--max-wait", "0", env=variables, cwd=tmp_path)
    assert done.returncode == 0
    assert "scan with --as-of 2026-01-19T17:45:00Z" in done.stderr
    feed = orjson.loads((world.folder / "later_stale" / "master_feed.json").read_bytes())
    assert feed["stats"]["actions"] == {"LONG": 0, "SHORT": 0, "WAIT": 6}


def test_candles_before_first_window_get_no_suggestion(world: World, tmp_path: Path) -> None:
    candles = stale_folder(tmp_path / "candles", NEWEST_MS - 400 * 86_400_000)
    done = run("scan", str(candles), env=world.environment("first_ancient"), cwd=tmp_path)
    assert done.returncode == 2
    assert "nothing was published" in done.stderr
    assert "--as-of" not in done.stderr


def test_stale_first_run_under_dagster_fails_and_publishes_nothing(world: World, tmp_path: Path) -> None:
    settings = world.settings("first_dagster", candles_dir=stale_folder(tmp_path / "candles"))
    with environment(DAGSTER_HOME=str(settings.data_dir / "dagster")), open_instance(settings) as instance:
        result = (
            build_definitions(settings)
            .resolve_job_def("analyse")
            .execute_in_process(instance=instance, partition_key=world.window.key, raise_on_error=False)
        )
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    failure_data = failure.step_failure_data.user_failure_data
    assert failure_data is not None
    assert (failure.step_key, failure_data.metadata["as_of"].value) == ("master_feed", "2026-01-19T17:45:00Z")
    assert not settings.feed_path.exists()
    assert not list((settings.lake_dir / "master_feed").glob("*"))


@pytest.mark.parametrize("missing", ["feed", "nothing"])
def test_older_candles_do_not_replace_feed_of_their_window(
    world: World, stale: Path, tmp_path: Path, missing: str
) -> None:
    name = f"older_candles_{missing}"
    older = stale_folder(tmp_path / "older", NEWEST_MS - 900_000)
    window = Window.of_key("2026-01-19-17:30")
    variables = world.environment(name)
    shutil.copytree(world.folder / "stale", world.folder / name)
    path = world.folder / name / "master_feed.json"
    before = path.read_bytes()
    if missing == "feed":
        path.unlink()
    done = run("scan", str(older), *AT_NEWEST_BAR, env=variables, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"the feed of the window {window.key} was made from newer candles" in done.stderr
    assert path.read_bytes() == before
    run("scan", str(older), "--as-of", "2026-01-19T18:00:00Z", "--max-wait", "0", env=variables, cwd=tmp_path)
    assert orjson.loads(path.read_bytes())["window"] == Window(window.end + WINDOW_LENGTH).key
