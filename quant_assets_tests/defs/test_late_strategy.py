"""A strategy that is installed while Dagster runs: reported until a reload, used afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets_tests.defs.live import SELECTOR, Live, dagster_dev, prepare_home, wait_for
from quant_assets_tests.signals.test_strategy_registry import code
from quant_assets_tests.world import World, small_world

RELOAD = """mutation($name: String!) { reloadRepositoryLocation(repositoryLocationName: $name) { __typename } }"""
BUILT_IN = ["Breakout", "BreakoutV2", "Legacy"]


@dataclass
class Running:
    """A running Dagster, and the folder of its plugins."""

    live: Live
    world: World
    plugins: Path

    def scan(self, windows_back: int) -> dict[str, Any]:
        """Scan a window; return the metadata of its feed."""
        window = Window(self.world.window.end - windows_back * WINDOW_LENGTH)
        assert self.live.finished_run(self.live.launch("scan", window.key))["status"] == "SUCCESS"
        metadata: dict[str, Any] = self.live.materialized("master_feed")[0]["metadata"]
        return metadata

    def strategies(self) -> list[str]:
        found: list[str] = orjson.loads((self.world.folder / "data" / "master_feed.json").read_bytes())["stats"][
            "strategies"
        ]
        return found

    def log(self) -> str:
        return (self.world.folder / "data" / "dagster" / "dev.log").read_text()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("late")
    plugins = folder / "plugins"
    plugins.mkdir()
    with small_world(folder, markets=6) as world:
        home = folder / "data" / "dagster"
        prepare_home(home)
        with dagster_dev({**world.environment(), "PYTHONPATH": str(plugins)}, home) as live:
            (plugins / "late.py").write_text(code("Late", "late"))
            info = plugins / "late-1.0.dist-info"
            info.mkdir()
            (info / "METADATA").write_text("Metadata-Version: 2.1\nName: late\nVersion: 1.0\n")
            (info / "entry_points.txt").write_text("[quant_assets.strategies]\nlate = late:mine\n")
            yield Running(live, world, plugins)


def test_new_strategy_is_reported_until_dagster_is_reloaded(running: Running) -> None:
    summary = running.scan(1)["summary"]
    assert running.strategies() == BUILT_IN
    assert "Without Late" in summary
    assert "the feed lacks Late" in running.log()
    answer = running.live.ask(RELOAD, name=SELECTOR["repositoryLocationName"])["reloadRepositoryLocation"]
    assert answer["__typename"] == "WorkspaceLocationEntry"
    query = '{ assetNodeOrError(assetKey: {path: ["signals", "late"]}) { __typename } }'
    wait_for(lambda: running.live.ask(query)["assetNodeOrError"]["__typename"] == "AssetNode", 60, "the new asset")
    summary = running.scan(0)["summary"]
    assert "Without" not in summary
    assert running.strategies() == ["Breakout", "BreakoutV2", "Late", "Legacy"]
