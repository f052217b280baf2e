"""A replay that is spread over the workers.

QUANT_CLUSTER_DAYS is its length, and QUANT_CLUSTER_MARKETS the number of markets of the cluster.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest

from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.definitions import build_definitions
from quant_assets.orchestration.replay import run_replay, windows_between
from quant_assets.storage.lake import Lake
from quant_assets_tests.defs.running import ANALYSIS
from quant_assets_tests.defs.workers import KEY, LAKE, WORKERS, Cluster, assert_equal_tables
from quant_assets_tests.world import kept_in_memory

pytestmark = pytest.mark.cluster
DAYS = float(os.environ.get("QUANT_CLUSTER_DAYS", "1"))
#: Before all that other tests fetch derivatives of.
DISTANCE = timedelta(days=3)


def _replay(cluster: Cluster, windows: list[Window]) -> tuple[float, Counter[str]]:
    """Backfill windows; return the seconds from the start of the first run to the end of the last, and who ran them."""
    before = {run["runId"] for run in cluster.live.runs()}
    backfill = cluster.live.backfill(ANALYSIS, [window.key for window in windows])
    assert cluster.live.finished_backfill(backfill, 600 * max(DAYS, 1)) == "COMPLETED_SUCCESS"
    runs = [run for run in cluster.live.runs() if run["runId"] not in before]
    assert {run["status"] for run in runs} == {"SUCCESS"}
    seconds = max(run["endTime"] for run in runs) - min(run["startTime"] for run in runs)
    return seconds, Counter(cluster.worker_of(run["runId"]) for run in runs)


def test_replay_on_two_workers_is_that_of_a_single_machine(cluster: Cluster, measured: Callable[[str], None]) -> None:
    world = cluster.world
    last = Window(world.window.end - DISTANCE)
    windows = windows_between(Window(last.end - timedelta(days=DAYS) + WINDOW_LENGTH), last)
    with kept_in_memory(world) as alone:
        alone.scan("alone for a replay", key=KEY)
        settings = world.settings("alone for a replay")
        started = time.monotonic()
        run_replay(settings, build_definitions(settings), world.candles, windows, lambda *_: None)
        single_seconds = time.monotonic() - started
    two_seconds, shares = _replay(cluster, windows)
    assert set(shares) == set(WORKERS)
    for window in windows:
        assert_equal_tables(Lake(settings.lake_dir), Lake(LAKE), window.key)
    cluster.kill_worker("worker-2")
    one_seconds, alone_share = _replay(cluster, windows)
    assert set(alone_share) == {"worker-1"}
    measured(
        f"{len(windows)} windows: {two_seconds:.1f} s on two workers {dict(shares)}, {one_seconds:.1f} s on one, "
        f"{single_seconds:.1f} s in one process; two workers are {one_seconds / two_seconds:.2f} times as fast as one "
        f"({os.cpu_count()} processors, load {os.getloadavg()[0]:.1f})"
    )
