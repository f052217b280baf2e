"""Sensors under `dagster dev`: new candles, a refresh, a failed run, a stale feed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from quant_assets.common.windows import Window
from quant_assets.storage.lake import Lake
from quant_assets_tests.defs.live import SELECTOR, Live, dagster_dev, prepare_home, wait_for
from quant_assets_tests.providers.coinalyze.scripted import Canned, ScriptedServer
from quant_assets_tests.world import World, small_world

START = """mutation($sensor: SensorSelector!) {
    startSensor(sensorSelector: $sensor) { ... on Sensor { sensorState { status } } } }"""

CHECKED = """query($key: AssetKeyInput!) {
    assetCheckExecutions(assetKey: $key, checkName: "newest_window", limit: 100) { evaluation { success } } }"""


@dataclass
class Watched:
    """A running Dagster, the market that it scans, and the webhook of its notices."""

    live: Live
    world: World
    webhook: ScriptedServer

    def written_at(self) -> str:
        feed = orjson.loads((self.world.folder / "data" / "master_feed.json").read_bytes())
        return str(feed["last_updated"])

    def runs_of(self, sensor: str) -> list[dict[str, Any]]:
        tag = {"key": "dagster/sensor_name", "value": sensor}
        return self.live.runs(tags=[tag], statuses=["SUCCESS"])

    def notices(self, about: str) -> list[str]:
        texts = [str(json.loads(body)["text"]) for body in self.webhook.bodies]
        return [text for text in texts if about in text]

    def checked(self) -> list[bool]:
        """Return the results of the check `newest_window`, the newest first."""
        found = self.live.ask(CHECKED, key={"path": ["master_feed"]})["assetCheckExecutions"]
        return [execution["evaluation"]["success"] for execution in found if execution["evaluation"]]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with (
        ScriptedServer(Canned(body=b"ok")) as webhook,
        small_world(tmp_path_factory.mktemp("automation"), markets=12) as world,
    ):
        home = world.folder / "data" / "dagster"
        prepare_home(home)
        # Until the first scan there is a feed of an hour ago.
        an_hour_ago = Window.last_complete(datetime.now(UTC) - timedelta(hours=1))
        Lake(world.settings().lake_dir).write_document(["master_feed"], an_hour_ago.key, b"{}")
        with dagster_dev({**world.environment(), "QUANT_WEBHOOK_URL": webhook.url}, home) as live:
            assert live.finished_run(live.launch("market_list"))["status"] == "SUCCESS"
            for sensor in ("new_candles", "keep_up"):
                started = live.ask(START, sensor={**SELECTOR, "sensorName": sensor})["startSensor"]
                assert started["sensorState"]["status"] == "RUNNING"
            yield Watched(live, world, webhook)


def last_window() -> Window:
    return Window.last_complete(datetime.now(UTC))


def test_new_candles_are_scanned_when_complete(watched: Watched) -> None:
    (run,) = wait_for(lambda: watched.runs_of("new_candles"), 120, "a scan of the new candles")
    assert run["jobName"] == "scan"
    file = next(watched.world.candles.glob("*_15m.json"))
    os.utime(file, (file.stat().st_mtime + 1, file.stat().st_mtime + 1))
    runs = wait_for(lambda: watched.runs_of("new_candles")[:-1], 120, "a scan of the changed candles")
    assert len(runs) == 1


def test_failed_run_sends_a_notice(watched: Watched) -> None:
    nowhere = {"ops": {"candles": {"config": {"folder": str(watched.world.folder / "nowhere")}}}}
    run = watched.live.launch("analyse", last_window().key, nowhere)
    assert watched.live.finished_run(run)["status"] == "FAILURE"
    (text,) = wait_for(lambda: watched.notices("analyse of window"), 120, "a notice")
    assert "nowhere" in text


def test_stale_feed_sends_a_notice_and_updates_its_check(watched: Watched) -> None:
    wait_for(lambda: watched.notices("master_feed is stale"), 120, "a notice of the stale feed")
    wait_for(lambda: watched.notices("master_feed is fresh again"), 180, "a notice of the fresh feed")
    results = wait_for(watched.checked, 30, "results of the check")
    assert results[0]
    assert not results[-1]


def test_feed_is_updated_after_a_refresh(watched: Watched) -> None:
    while True:
        window = last_window()
        assert watched.live.finished_run(watched.live.launch("scan", window.key))["status"] == "SUCCESS"
        before = watched.written_at()
        assert watched.live.finished_run(watched.live.launch("refresh", window.key))["status"] == "SUCCESS"

        def followed(window: Window = window) -> bool:
            (made,) = watched.live.materialized("features", limit=1)
            return made["run"] in {run["runId"] for run in watched.runs_of("keep_up")} or last_window() != window

        wait_for(followed, 240, "signals and feed after the refresh")
        if last_window() == window:  # the next window is of another run
            break
    assert watched.written_at() > before
