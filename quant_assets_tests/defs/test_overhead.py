"""The limits of docs/performance.md on Dagster's overhead and on loading the code location."""

from __future__ import annotations

import pytest

from quant_assets_tests.defs.measure_overhead import load_the_code_location, scans
from quant_assets_tests.speed import assert_within, slowness

#: Seconds of the plain process on an idle machine of the kind that the limits are for.
PLAIN_SECONDS = 1.2


@pytest.mark.speed
def test_code_location_loads_in_four_seconds() -> None:
    assert_within(4, load_the_code_location, tries=3)


@pytest.mark.speed
def test_dagster_adds_less_than_three_seconds_to_a_scan() -> None:
    # Wall-clock time, the best of each, since a queue and several processes take part.
    slow = slowness()
    runs, plain = scans(5)
    slow = max(slow, min(plain) / PLAIN_SECONDS)  # a shared machine is slow at times
    added = min(runs) - min(plain)
    assert 0 < added < 3 * slow, f"{added:.2f} s on a machine {slow:.2f} times as slow as the yardstick's"
