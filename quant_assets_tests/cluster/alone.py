"""What a single machine makes of the same market."""

from __future__ import annotations

import time
import uuid

from quant_assets.definitions import build_definitions
from quant_assets.orchestration.job_names import SCAN
from quant_assets.orchestration.market_list_run import fetch_market_lists_if_due
from quant_assets.storage.lake import Lake
from quant_assets_tests.defs.live import wait_for
from quant_assets_tests.defs.workers import KEY, Cluster, forget_fetched
from quant_assets_tests.world import World, kept_in_memory

QUARTER_SECONDS = 900
#: The time that two scans need on a busy machine.
SCANS_SECONDS = 120


def run_alone(world: World, job: str, window: str) -> Lake:
    """Scan the newest window in this process into a new data folder, then run a job of `window`; return the tables."""
    name = f"alone {uuid.uuid4().hex}"
    settings = world.settings(name)
    definitions = build_definitions(settings)
    with kept_in_memory(world) as alone, alone.opened(name, KEY) as instance:
        fetch_market_lists_if_due(settings, definitions, instance)
        for each, of_window in dict.fromkeys([(SCAN, world.window.key), (job, window)]):
            done = definitions.resolve_job_def(each).execute_in_process(instance=instance, partition_key=of_window)
            assert done.success
    return Lake(settings.lake_dir)


def fetch_anew(cluster: Cluster) -> None:
    """Let the next scan fetch what a single machine fetches now, with time for both before the next bar closes."""
    wait_for(lambda: time.time() % QUARTER_SECONDS < QUARTER_SECONDS - SCANS_SECONDS, SCANS_SECONDS + 10, "a new bar")
    forget_fetched(cluster, "empty_responses")
