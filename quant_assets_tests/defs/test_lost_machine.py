"""`dagster dev` and all of its processes are killed during a run, as in a power failure."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path

import orjson
import pytest

from quant_assets.definitions import build_definitions
from quant_assets.emulator import Faults
from quant_assets.orchestration.market_list_run import fetch_market_lists_if_due
from quant_assets_tests.defs.live import dagster_dev_process, stop_process_group, wait_for
from quant_assets_tests.world import small_world


@pytest.mark.system
def test_run_lost_in_a_crash_is_ended_and_retried(tmp_path: Path) -> None:
    with small_world(tmp_path, markets=8) as world:
        home = tmp_path / "data" / "dagster"
        with world.opened() as instance:
            fetch_market_lists_if_due(world.settings(), build_definitions(world.settings()), instance)
        with dagster_dev_process(world.environment(), home) as (program, live):
            world.emulator.faults = Faults(slow=1.0, delay_seconds=5)
            before = len(world.emulator.accounting.accepted)
            lost = live.launch("scan", world.window.key, max_runtime="45")
            wait_for(lambda: len(world.emulator.accounting.accepted) > before, 120, "the first request")
            stop_process_group(program, signal.SIGKILL)
        world.emulator.faults = Faults()
        with dagster_dev_process(world.environment(), home) as (_, live):
            assert live.runs(runIds=[lost])[0]["status"] in {"STARTED", "CANCELING", "FAILURE"}
            assert live.finished_run(lost, 240)["status"] == "FAILURE"
            retried = wait_for(
                lambda: [run for run in live.runs() if run["tags"].get("dagster/parent_run_id") == lost], 60, "a retry"
            )
            # Of the same window, so that the lost run does not hold it any more.
            assert live.finished_run(retried[0]["runId"], 240)["status"] == "SUCCESS"
        feed = orjson.loads((tmp_path / "data" / "master_feed.json").read_bytes())
        assert feed["stats"]["freshness"]["open_interest"]["fresh"] > feed["stats"]["markets"] / 2
        requested = Counter(
            (request.endpoint, symbol)
            for request in world.emulator.accounting.accepted[before:]
            for symbol in request.symbols
        )
        assert sum(times - 1 for times in requested.values()) <= 20  # the symbols of the request in flight
