"""What Dagster may add to the work, and how long the code location may take: the bounds of docs/performance.md."""

from __future__ import annotations

import pytest

from quant_assets_tests.defs.measure_overhead import load_the_code_location, scans
from quant_assets_tests.speed import assert_within, slowness

#: What the plain process takes on the machine that the bounds are meant for, where nothing else runs.
PLAIN_SECONDS = 1.2


@pytest.mark.speed
def test_the_code_location_is_ready_in_four_seconds() -> None:
    assert_within(4, load_the_code_location, tries=3)


@pytest.mark.speed
def test_a_scheduled_scan_adds_less_than_three_seconds_to_the_work() -> None:
    # By the clock on the wall, the best of each: a queue and several processes are part of it.
    slow = slowness()
    runs, plain = scans(5)
    slow = max(slow, min(plain) / PLAIN_SECONDS)  # a machine that others share is slow in turns
    added = min(runs) - min(plain)
    assert 0 < added < 3 * slow, f"{added:.2f} s on a machine {slow:.2f} times as slow as the yardstick's"
