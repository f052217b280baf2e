"""A worker that is killed in the middle of a run."""

from __future__ import annotations

import time
from collections.abc import Callable

import pandas as pd
import pytest

from quant_assets.derivatives.datasets import DATASETS
from quant_assets.emulator import Faults
from quant_assets.orchestration.job_names import REFRESH
from quant_assets.storage.lake import Lake
from quant_assets_tests.cluster.alone import run_alone
from quant_assets_tests.defs.live import wait_for
from quant_assets_tests.defs.workers import (
    LAKE,
    SYMBOLS_PER_REQUEST,
    Cluster,
    forget_fetched,
    old_window,
    repeated_symbols,
)

pytestmark = pytest.mark.cluster
MAX_RUNTIME_SECONDS = 45


def test_run_goes_on_elsewhere_and_pays_no_call_twice(cluster: Cluster, measured: Callable[[str], None]) -> None:
    live, world = cluster.live, cluster.world
    window = old_window(world)
    forget_fetched(cluster)
    world.emulator.faults = Faults(slow=1.0, delay_seconds=3)
    before = len(world.emulator.accounting.accepted)
    lost = live.launch(REFRESH, window, max_runtime=str(MAX_RUNTIME_SECONDS))
    wait_for(lambda: len(world.emulator.accounting.accepted) > before + 3, 90, "some requests")
    killed = cluster.worker_of(lost)
    cluster.kill_worker(killed)
    killed_at = time.monotonic()
    world.emulator.faults = Faults()
    retried = cluster.retry_of(lost, MAX_RUNTIME_SECONDS + 30)
    wait_for(lambda: live.runs(runIds=[retried], statuses=["STARTED", "SUCCESS"]), 30, "the start of the retry")
    seconds = time.monotonic() - killed_at
    assert seconds < MAX_RUNTIME_SECONDS + 30
    assert live.runs(runIds=[lost])[0]["status"] == "FAILURE"
    assert live.finished_run(retried, 120)["status"] == "SUCCESS"
    assert cluster.worker_of(retried) != killed
    repeated = repeated_symbols(world.emulator.accounting.accepted[before:])
    assert repeated <= SYMBOLS_PER_REQUEST  # the request in flight
    found, expected = Lake(LAKE), run_alone(world, REFRESH, window)
    for dataset in DATASETS:
        table, same = expected.read([dataset], window), found.read([dataset], window)
        assert table is not None, dataset
        assert same is not None, dataset
        assert len(table) > 0
        pd.testing.assert_frame_equal(table, same, check_exact=True, obj=dataset)
    measured(f"retried {seconds:.0f} s after the kill (limit {MAX_RUNTIME_SECONDS} s); {repeated} symbols asked twice")
