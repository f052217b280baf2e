"""`quant-assets replay`: replay a range of windows through a real Dagster instance."""

from __future__ import annotations

import subprocess
from datetime import timedelta
from pathlib import Path

import dagster as dg
import orjson
import pytest

from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.definitions import build_definitions
from quant_assets.orchestration.replay import WINDOWS_PER_RUN, run_replay, windows_between
from quant_assets.storage.lake import Lake
from quant_assets_tests.forking import run
from quant_assets_tests.world import World, environment

WINDOWS = 18


@pytest.fixture(scope="module")
def first(world: World) -> Window:
    return Window(world.window.end - WINDOWS * WINDOW_LENGTH)


@pytest.fixture(scope="module")
def last(world: World) -> Window:
    return Window(world.window.end - WINDOW_LENGTH)


@pytest.fixture(scope="module")
def replayed(
    world: World, first: Window, last: Window, tmp_path_factory: pytest.TempPathFactory
) -> subprocess.CompletedProcess[str]:
    """Scan once, and then replay the 18 windows before that."""
    (world.folder / "replay" / "before.json").write_bytes(world.scanned("replay").read_bytes())
    calls = world.emulator.accounting.calls
    arguments = ("replay", "--from", first.end.isoformat(), "--to", last.end.isoformat(), "--json")
    done = run(*arguments, env=world.environment("replay"), cwd=tmp_path_factory.mktemp("replay"))
    assert world.emulator.accounting.calls == calls, "a replay spent calls"
    assert done.returncode == 0, done.stderr
    return done


def test_json_prints_only_a_summary(replayed: subprocess.CompletedProcess[str], first: Window, last: Window) -> None:
    summary = orjson.loads(replayed.stdout)
    assert (summary["from"], summary["to"], summary["windows"]) == (first.key, last.key, WINDOWS)
    assert summary["api"] == {"calls": 0}
    assert sum(summary["actions"].values()) == WINDOWS * summary["markets"] * 3
    assert not summary["published"]


@pytest.mark.usefixtures("replayed")
def test_every_replayed_window_has_features_signals_and_a_feed(world: World, first: Window, last: Window) -> None:
    lake = Lake(world.folder / "replay" / "lake")
    for window in windows_between(first, last):
        document = lake.read_document(["master_feed"], window.key)
        assert document is not None, window.key
        assert orjson.loads(document)["window"] == window.key
        assert lake.has(["features"], window.key)
        assert lake.has(["signals", "legacy"], window.key)


@pytest.mark.usefixtures("replayed")
def test_windows_are_replayed_oldest_first_in_runs_of_16(world: World, first: Window, last: Window) -> None:
    with environment(DAGSTER_HOME=str(world.folder / "replay" / "dagster")), dg.DagsterInstance.get() as instance:
        records = instance.fetch_materializations(dg.AssetKey("features"), limit=100).records
        once = [
            len(instance.fetch_materializations(dg.AssetKey(n), limit=9).records) for n in ("candles", "symbol_map")
        ]
    runs: dict[str, list[str]] = {}
    for record in reversed(records[:WINDOWS]):
        runs.setdefault(record.run_id, []).append(str(record.partition_key))
    keys = [window.key for window in windows_between(first, last)]
    assert [sorted(windows) for windows in runs.values()] == [keys[:WINDOWS_PER_RUN], keys[WINDOWS_PER_RUN:]]
    assert once == [2, 2]  # by the scan, and once by the replay


@pytest.mark.usefixtures("replayed")
def test_replay_of_older_windows_keeps_the_master_feed(world: World) -> None:
    folder = world.folder / "replay"
    assert (folder / "master_feed.json").read_bytes() == (folder / "before.json").read_bytes()


@pytest.mark.usefixtures("replayed")
def test_replay_reports_progress(world: World, first: Window) -> None:
    reported: list[tuple[str, int, int]] = []
    second = Window(first.end + WINDOW_LENGTH)
    with environment(DAGSTER_HOME=str(world.folder / "replay" / "dagster")):
        settings = world.settings("replay")
        run_replay(
            settings,
            build_definitions(settings),
            world.candles,
            [first, second],
            lambda stage, done, total, note="": reported.append((stage, done, total)),
        )
    assert [entry for entry in reported if entry[0] == "windows replayed"] == [
        ("windows replayed", 0, 2),
        ("windows replayed", 2, 2),
    ]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--from", "yesterday", "--to", "2026-01-19T17:00:00Z"), "--from: Invalid timestamp"),
        (("--from", "2026-01-19T17:00:00Z", "--to", ""), "--to"),
        (
            ("--from", "2026-01-19T17:00:00Z", "--to", "2035-01-01T00:00:00Z"),
            "--to 2035-01-01T00:00:00Z is in the future",
        ),
        (("--from", "2026-01-19T17:00:00Z", "--to", "2026-01-19T16:00:00Z"), "swap them"),
        (("--from", "2026-01-19T17:00:00Z", "--to", "2026-01-19T18:00:00Z", "no/such/folder"), "no/such/folder"),
    ],
    ids=["no moment", "empty", "future", "swapped", "no folder"],
)
def test_invalid_input_is_exit_2_and_one_line(
    world: World, tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    done = run("replay", *arguments, env=world.environment("replay_wrong"), cwd=tmp_path)
    assert done.returncode == 2
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


@pytest.mark.parametrize("days", [30, 200])
def test_replay_of_windows_without_15m_candles_fails_and_writes_no_feed(
    world: World, tmp_path: Path, days: int
) -> None:
    """The files have 15m candles of 16 days, and 4h candles of 116."""
    world.scanned("before")
    windows = [Window(world.window.end - timedelta(days=days, hours=hours)) for hours in (1, 0)]
    moments = ("--from", windows[0].end.isoformat(), "--to", windows[1].end.isoformat())
    done = run("replay", *moments, env=world.environment("before"), cwd=tmp_path)
    assert done.returncode == 1
    assert f"no candles for the windows {windows[0].key} to {windows[1].key}" in done.stderr
    assert "Choose --from and --to in this range" in done.stderr
    assert len(list(world.folder.glob("before/lake/master_feed/*"))) == 1
