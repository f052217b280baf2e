"""A window that is scanned live."""

from __future__ import annotations

import orjson
import pytest

from quant_assets.storage.lake import Lake
from quant_assets_tests.cluster.alone import fetch_anew, run_alone
from quant_assets_tests.defs.workers import (
    LAKE,
    WORKERS,
    Cluster,
    assert_equal_tables,
    published_feed,
)

pytestmark = pytest.mark.cluster


def test_scan_on_a_worker_is_that_of_a_single_machine(cluster: Cluster) -> None:
    """The feed differs in the times of its making and in the calls that it cost alone."""
    window = cluster.world.window.key
    fetch_anew(cluster)
    assert cluster.worker_of(cluster.succeeded("scan", window)) in WORKERS
    alone = run_alone(cluster.world, "scan", window)
    assert_equal_tables(alone, Lake(LAKE), window)
    expected, feed = orjson.loads(alone.read_document(["master_feed"], window) or b""), published_feed()
    assert feed["stats"]["freshness"]["open_interest"]["fresh"] > 0
    different = {name for name in expected if expected[name] != feed[name]}
    different -= {"stats"}
    different |= {f"stats.{name}" for name in expected["stats"] if expected["stats"][name] != feed["stats"][name]}
    assert different <= {"last_updated", "published_at_ms", "stats.api"}
