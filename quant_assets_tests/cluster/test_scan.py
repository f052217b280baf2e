"""A window that is scanned live."""

from __future__ import annotations

import pytest

from quant_assets.storage.lake import Lake
from quant_assets_tests.defs.workers import (
    KEY,
    LAKE,
    WORKERS,
    Cluster,
    assert_equal_tables,
    published_feed,
)
from quant_assets_tests.world import kept_in_memory

pytestmark = pytest.mark.cluster


def test_scan_on_a_worker_is_that_of_a_single_machine(cluster: Cluster) -> None:
    world = cluster.world
    run = cluster.succeeded("scan", world.window.key)
    assert cluster.worker_of(run) in WORKERS
    with kept_in_memory(world) as alone:
        alone.scan("alone", key=KEY)
    assert_equal_tables(Lake(world.settings("alone").lake_dir), Lake(LAKE), world.window.key)
    feed = published_feed()
    assert feed["window"] == world.window.key
    assert feed["stats"]["freshness"]["open_interest"]["fresh"] > 0
