"""One running Dagster for several modules of tests, as `make ui` starts it, and the runs that all of them ask about."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.derivatives.datasets import DATASETS
from quant_assets.emulator import Faults
from quant_assets.storage.lake import Lake, compress_document
from quant_assets_tests.defs.live import BIN, ROOT, SELECTOR, Live, free_port, ready, stop_process_group, wait_for
from quant_assets_tests.providers.coinalyze.scripted import Canned, ScriptedServer
from quant_assets_tests.world import World, small_world

#: `make pictures` saves pages of the UI here; more markets and windows make better pictures.
PICTURES = os.environ.get("QUANT_PICTURES", "")
MARKETS = 73 if PICTURES else 8
BACKFILLED = 16 if PICTURES else 4
SIGNALS = ("signals/breakout", "signals/breakout_v2", "signals/legacy")
ANALYSIS = ("candle_features", "watchlist", "features", *SIGNALS, "track_record", "master_feed")
BY_WINDOW = (*DATASETS, *ANALYSIS)
#: Dagster leaves an asset out of a backfill if one without partitions is between it and others of the backfill.
IN_BACKFILL = tuple(name for name in BY_WINDOW if name != "track_record")

START = """mutation($sensor: SensorSelector!) { startSensor(sensorSelector: $sensor) { ... on Sensor { id } } }"""
STOP = """mutation($id: String!) { stopSensor(id: $id) { ... on StopSensorMutationResult {
  instigationState { status } } } }"""
REPOSITORY = """{ repositoriesOrError { ... on RepositoryConnection { nodes {
  schedules { name cronSchedule executionTimezone scheduleState { status } }
  sensors { name sensorType sensorState { status } } } } } }"""
UNFINISHED = ["QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING"]


@dataclass
class Running:
    """A running Dagster, the market that it scans, the webhook of its notices, and its terminal output."""

    live: Live
    world: World
    webhook: ScriptedServer
    log: Path

    def notices(self, about: str) -> list[str]:
        texts = [str(json.loads(body)["text"]) for body in self.webhook.bodies]
        return [text for text in texts if about in text]

    def run(self, job: str, window: str = "") -> dict[str, Any]:
        """Run a job until it has succeeded."""
        ended = self.live.finished_run(self.live.launch(job, window))
        assert ended["status"] == "SUCCESS", job
        return ended

    @contextmanager
    def sensors_on(self, *names: str) -> Iterator[None]:
        """Turn sensors on while the block runs; afterwards, wait until no run is left."""
        ids = [self.live.ask(START, sensor={**SELECTOR, "sensorName": name})["startSensor"]["id"] for name in names]
        try:
            yield
        finally:
            for sensor in ids:
                self.live.ask(STOP, id=sensor)
            wait_for(lambda: not self.live.runs(statuses=UNFINISHED), 120, "the last run")


@dataclass
class Recorded:
    """What a running Dagster has recorded of scans, refreshes, and a backfill."""

    running: Running
    #: The schedules and sensors of the new installation.
    repository: dict[str, Any]
    scan: dict[str, Any]
    backfill: str
    #: The windows of the backfill, and how often it requested each symbol of each endpoint.
    backfilled: list[str]
    requested: Counter[tuple[str, str]]
    #: The window of the feed after the backfill.
    published: str
    #: Three runs of one window, started at once. The last one overtook the one before.
    at_once: list[dict[str, Any]]

    @property
    def live(self) -> Live:
        return self.running.live

    @property
    def world(self) -> World:
        return self.running.world


@contextmanager
def running_ui(folder: Path) -> Iterator[Running]:
    """Run `make ui` on a new instance with a feed of an hour ago."""
    with ScriptedServer(Canned(body=b"ok")) as webhook, small_world(folder, markets=MARKETS) as world:
        an_hour_ago = Window.last_complete(datetime.now(UTC) - timedelta(hours=1))
        Lake(world.settings().lake_dir).write_document(["master_feed"], an_hour_ago.key, compress_document(b"{}"))
        log, port = folder / "ui.log", free_port()
        with log.open("wb") as output:
            # Keep make from setting up the environment in which the test runs.
            program = subprocess.Popen(
                ["make", "--old-file=setup", "ui", f"BIN={BIN}", f"PORT={port}"],
                cwd=ROOT,
                env={**world.environment(), "QUANT_WEBHOOK_URL": webhook.url},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield Running(ready(f"http://127.0.0.1:{port}", log), world, webhook, log)
        finally:
            stop_process_group(program, signal.SIGTERM)


def record(running: Running) -> Recorded:
    """Scan a window, backfill others, and start three runs of one window at once."""
    live, world, feed_path = running.live, running.world, running.world.settings().feed_path
    newest, before = world.window.key, Window(world.window.end - WINDOW_LENGTH).key
    (repository,) = live.ask(REPOSITORY)["repositoriesOrError"]["nodes"]
    running.run("market_list")
    wait_for(lambda: running.notices("master_feed is stale"), 120, "a notice of the stale feed")
    scan = running.run("scan", newest)
    accepted = len(world.emulator.accounting.accepted)
    keys = [Window(world.window.end - back * WINDOW_LENGTH).key for back in range(100, 100 - BACKFILLED, -1)]
    backfill = live.backfill(IN_BACKFILL, keys)
    assert live.finished_backfill(backfill) == "COMPLETED_SUCCESS"
    requested = Counter(
        (request.endpoint, symbol)
        for request in world.emulator.accounting.accepted[accepted:]
        for symbol in request.symbols
    )
    published = orjson.loads(feed_path.read_bytes())["window"]
    world.emulator.faults = Faults(slow=1.0, delay_seconds=5)  # the first run holds its window until both others wait
    first = live.launch("refresh", before)
    wait_for(lambda: not live.runs(runIds=[first], statuses=["QUEUED"]), 120, "the start of a run")
    runs = [first, live.launch("analyse", before, priority="-5"), live.launch("analyse", before)]
    world.emulator.faults = Faults()
    at_once = [live.finished_run(run, 240) for run in runs]
    assert {run["status"] for run in at_once} == {"SUCCESS"}
    assert at_once[-1]["endTime"] < at_once[-2]["startTime"], "the last run was to overtake the one before"
    return Recorded(
        running=running,
        repository=repository,
        scan=scan,
        backfill=backfill,
        backfilled=keys,
        requested=requested,
        published=published,
        at_once=at_once,
    )
