"""The terminal output of `make ui` on a new Dagster instance with all sensors on."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quant_assets_tests.defs.live import BIN, ROOT, SELECTOR, Live, free_port, ready, stop_process_group, wait_for
from quant_assets_tests.world import small_world

START = """mutation($sensor: SensorSelector!) { startSensor(sensorSelector: $sensor) { __typename } }"""
SENSORS = """{ repositoriesOrError { ... on RepositoryConnection { nodes { sensors {
  name sensorState { ticks(limit: 20) { status runIds } } } } } } }"""
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def ticks(live: Live) -> dict[str, list[dict[str, Any]]]:
    (repository,) = live.ask(SENSORS)["repositoriesOrError"]["nodes"]
    return {sensor["name"]: sensor["sensorState"]["ticks"] for sensor in repository["sensors"]}


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the log after a scan, and after every sensor has skipped a tick."""
    folder = tmp_path_factory.mktemp("ui")
    with small_world(folder, markets=6) as world:
        path, port = folder / "ui.log", free_port()
        # Keep make from setting up the environment in which the test runs.
        command = ["make", "--old-file=setup", "ui", f"BIN={BIN}", f"PORT={port}"]
        with path.open("wb") as output:
            program = subprocess.Popen(
                command,
                cwd=ROOT,
                env=world.environment(),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            live = ready(f"http://127.0.0.1:{port}", path)
            for name in ("keep_up", "new_candles"):
                started = live.ask(START, sensor={**SELECTOR, "sensorName": name})["startSensor"]
                assert started["__typename"] == "Sensor", started
            for job, window in (("market_list", ""), ("scan", world.window.key)):
                assert live.finished_run(live.launch(job, window))["status"] == "SUCCESS"

            def all_skipped() -> bool:
                found = ticks(live)
                return all(any(tick["status"] == "SKIPPED" for tick in found[name]) for name in found)

            wait_for(all_skipped, 120, "a skipped tick of each sensor")
        finally:
            stop_process_group(program, signal.SIGTERM)
        yield path


def lines(log: Path) -> list[str]:
    return [COLOURS.sub("", line) for line in log.read_text().splitlines()]


def test_log_has_the_address_of_the_ui(log: Path) -> None:
    assert any(line.startswith("Dagster's UI: http://127.0.0.1:") for line in lines(log))


def test_log_has_no_debug_lines(log: Path) -> None:
    assert [line for line in lines(log) if "DEBUG" in line] == []


def test_skipped_ticks_are_not_logged(log: Path) -> None:
    assert [line for line in lines(log) if "skipped" in line or "Checking for new runs" in line] == []


def test_log_has_no_warning_about_dagster_yaml(log: Path) -> None:
    assert [line for line in lines(log) if "dagster.yaml" in line] == []


def test_log_has_no_warning_that_needs_no_action(log: Path) -> None:
    assert [line for line in lines(log) if "Warning" in line or "WARNING" in line] == []


def test_log_has_no_error(log: Path) -> None:
    assert [line for line in lines(log) if "ERROR" in line or "Traceback" in line] == []
