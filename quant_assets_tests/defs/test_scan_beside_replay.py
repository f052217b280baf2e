"""A scan that is requested while a backfill runs, without a database and with one."""

from __future__ import annotations

from collections.abc import Iterator

import orjson
import pytest

from quant_assets_tests.defs.measure_scan_beside_replay import SideBySide, installation, side_by_side, waited

#: In one run of the backfill, which takes several times as long as a scan.
WINDOWS = 64


@pytest.fixture(scope="module", params=["folder", "database"])
def found(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[SideBySide, bytes, str]]:
    folder = tmp_path_factory.mktemp("beside")
    shared = request.param == "database"
    with installation(folder, markets=10, windows_per_run=WINDOWS, shared=shared) as (world, live):
        yield side_by_side(world, live, WINDOWS, scans=1), world.settings().feed_path.read_bytes(), world.window.key


@pytest.mark.system
def test_scan_does_not_wait_for_a_backfill(found: tuple[SideBySide, bytes, str]) -> None:
    """It starts and ends while one run of the backfill goes on, and its feed stands."""
    runs, feed, newest = found
    (replay,), scan = runs.replay, runs.beside[0]
    assert scan["status"] == "SUCCESS"
    assert replay["startTime"] < scan["startTime"]
    assert scan["endTime"] < replay["endTime"]
    assert waited(scan) < (replay["endTime"] - replay["startTime"]) / 2
    assert orjson.loads(feed)["window"] == newest
