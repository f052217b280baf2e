"""Dagster's command line `dg`, on a copy of a checkout, and a strategy that is installed while `dg dev` runs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.signals import discover_strategies
from quant_assets_tests.defs.live import BIN, ROOT, SELECTOR, Live, free_port, prepare_home, process, ready, wait_for
from quant_assets_tests.signals.test_strategy_registry import code
from quant_assets_tests.world import World, small_world

RELOAD = """mutation($name: String!) { reloadRepositoryLocation(repositoryLocationName: $name) { __typename } }"""
BUILT_IN = ["Breakout", "BreakoutV2", "Legacy"]
pytestmark = pytest.mark.system
NEEDED = ("pyproject.toml", "workspace.yaml", "dagster.yaml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the project with its compiled files, and create a Dagster instance beside it."""
    folder = tmp_path_factory.mktemp("dg") / "project"
    being_written = shutil.ignore_patterns("*.pyc.*")
    shutil.copytree(ROOT / "quant_assets", folder / "quant_assets", ignore=being_written)
    for name in NEEDED:
        shutil.copy(ROOT / name, folder)
    prepare_home(folder.parent / "dagster")
    return folder


@pytest.fixture(scope="module")
def environment(project: Path) -> dict[str, str]:
    return {
        **os.environ,
        "DAGSTER_HOME": str(project.parent / "dagster"),
        "HOME": str(project.parent),
        "PYTHONPATH": str(project),
        "QUANT_DATA_DIR": str(project.parent / "data"),
    }


def dg(*arguments: str, project: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        [BIN / "dg", *arguments], cwd=project, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_dg_check_defs_finds_nothing_wrong(project: Path, environment: dict[str, str]) -> None:
    assert "definitions loaded successfully" in dg("check", "defs", project=project, environment=environment)


def test_dg_list_defs_names_assets_jobs_schedules_and_sensors(project: Path, environment: dict[str, str]) -> None:
    listed = orjson.loads(dg("list", "defs", "--json", project=project, environment=environment))
    assets = {asset["asset_key"] for asset in listed["assets"]}
    assert assets >= {"candles", "symbol_map", "features", "master_feed"}
    assert assets >= {f"signals/{strategy.key}" for strategy in discover_strategies().strategies}
    names = {kind: {entry["name"] for entry in listed[kind]} for kind in ("jobs", "schedules", "sensors")}
    assert names["jobs"] >= {"scan", "refresh", "analyse", "market_list", "prune"}
    assert "scan_every_quarter_hour" in names["schedules"]
    assert "keep_up" in names["sensors"]


@dataclass
class Running:
    """A running `dg dev`, its market, the folder of its plugins, and its log."""

    live: Live
    world: World
    plugins: Path
    log: Path

    def scan(self, windows_back: int) -> dict[str, Any]:
        """Scan a window; return the metadata of its feed."""
        window = Window(self.world.window.end - windows_back * WINDOW_LENGTH)
        assert self.live.finished_run(self.live.launch("scan", window.key))["status"] == "SUCCESS"
        metadata: dict[str, Any] = self.live.materialized("master_feed")[0]["metadata"]
        return metadata

    def strategies(self) -> list[str]:
        feed = orjson.loads(self.world.settings().feed_path.read_bytes())
        found: list[str] = feed["stats"]["strategies"]
        return found

    def install_strategy(self) -> None:
        (self.plugins / "late.py").write_text(code("Late", "late"))
        info = self.plugins / "late-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: late\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[quant_assets.strategies]\nlate = late:mine\n")


@pytest.fixture(scope="module")
def running(project: Path, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    port, log, folder = free_port(), project.parent / "dev.log", tmp_path_factory.mktemp("late")
    plugins = folder / "plugins"
    plugins.mkdir()
    with small_world(folder, markets=6) as world:
        names = ("DAGSTER_HOME", "HOME")
        given = {**world.environment(), **{name: environment[name] for name in names}}
        given["PYTHONPATH"] = f"{project}:{plugins}"
        with process(["dg", "dev", "--host", "127.0.0.1", "--port", str(port)], given, log, cwd=project):
            yield Running(ready(f"http://127.0.0.1:{port}", log), world, plugins, log)


def test_dg_dev_serves_the_code_location(running: Running) -> None:
    query = "{ locationStatusesOrError { ... on WorkspaceLocationStatusEntries { entries { name loadStatus } } } }"
    entries = running.live.ask(query)["locationStatusesOrError"]["entries"]
    assert entries == [{"name": "quant_assets", "loadStatus": "LOADED"}]


def test_new_strategy_is_reported_until_dagster_is_reloaded(running: Running) -> None:
    running.install_strategy()
    summary = running.scan(1)["summary"]
    assert running.strategies() == BUILT_IN
    assert "Without Late" in summary
    assert "the feed lacks Late" in running.log.read_text()
    answer = running.live.ask(RELOAD, name=SELECTOR["repositoryLocationName"])["reloadRepositoryLocation"]
    assert answer["__typename"] == "WorkspaceLocationEntry"
    query = '{ assetNodeOrError(assetKey: {path: ["signals", "late"]}) { __typename } }'
    wait_for(lambda: running.live.ask(query)["assetNodeOrError"]["__typename"] == "AssetNode", 60, "the new asset")
    summary = running.scan(0)["summary"]
    assert "Without" not in summary
    assert running.strategies() == ["Breakout", "BreakoutV2", "Late", "Legacy"]
