"""Two scans of two machines with one key of the provider."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.derivatives.datasets import DATASETS
from quant_assets_tests.defs.live import wait_for
from quant_assets_tests.defs.workers import WORKERS, Cluster, forget_fetched
from quant_assets_tests.world import CALLS_PER_MINUTE

pytestmark = pytest.mark.cluster
CALLS = 16
#: Each machine fetches for one exchange, since neither requests what the other one does.
EXCHANGES = ("BINANCE", "BYBIT")
MINUTE = timedelta(minutes=1)


def test_scans_of_two_machines_share_one_minute(cluster: Cluster, measured: Callable[[str], None]) -> None:
    """Both start at once, past Dagster's queue, which lets one run at a time send requests."""
    emulator, newest = cluster.world.emulator, cluster.world.window
    windows = [newest.key, Window(newest.end - WINDOW_LENGTH).key]
    forget_fetched(cluster)
    # Other tests spend calls of single machines, which the cluster does not know of.
    wait_for(lambda: datetime.now(UTC) - emulator.accounting.accepted[-1].moment > MINUTE, 90, "a minute without calls")
    before, earlier = emulator.accounting, {run["runId"] for run in cluster.live.runs()}
    emulator.calls_per_minute, limit = CALLS, {"COINALYZE_CALLS_PER_MINUTE": str(CALLS)}
    try:
        scans = [
            cluster.execute(name, f"one-key-{name}", "scan", window, _only(exchange), **limit)
            for name, window, exchange in zip(WORKERS, windows, EXCHANGES, strict=True)
        ]
        assert [scan.wait(240) for scan in scans] == [0, 0]
    finally:
        emulator.calls_per_minute = CALLS_PER_MINUTE
    after = emulator.accounting
    spent = dict.fromkeys({run["runId"] for run in cluster.live.runs()} - earlier, 0)
    for dataset in DATASETS:
        for found in cluster.live.materialized(dataset):
            if found["run"] in spent:
                spent[found["run"]] += found["metadata"]["calls"]
    assert after.rate_limited == before.rate_limited
    assert len(spent) == len(WORKERS)
    assert min(spent.values()) > 0
    assert after.calls - before.calls == sum(spent.values()) > CALLS  # the minute went on
    measured(f"{CALLS} calls a minute: {list(spent.values())} calls of the two machines, no response 429")


def _only(exchange: str) -> dict[str, Any]:
    """Return the config of a run that fetches for one exchange."""
    return {"ops": {"derivatives": {"config": {"exchange": exchange}}}}
