"""Tests of refreshes in processes of their own with real time: the minimum duration, and two at once.

faults/test_kills.py kills them.
"""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from quant_assets.common.windows import Window
from quant_assets.emulator import Emulator, plain_universe

pytestmark = pytest.mark.slow

MARKETS = 300
CALLS = MARKETS * 4


def sweep(emulator: Emulator, folder: Path, calls_per_minute: int, markets: int = MARKETS) -> subprocess.Popen[str]:
    window = Window.last_complete(datetime.now(UTC)).key
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "quant_assets_tests.derivatives.sweep"),
            *(emulator.url, str(folder), str(markets), str(calls_per_minute), window),
        ],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.speed
def test_refresh_of_empty_store_takes_the_minimum_time_without_429(tmp_path: Path) -> None:
    with Emulator(plain_universe(MARKETS), calls_per_minute=600) as emulator:
        output, _ = sweep(emulator, tmp_path, 600).communicate(timeout=150)
        accounting = emulator.accounting
    report = orjson.loads(output)
    assert accounting.rate_limited == report["rate_limited"] == 0
    assert accounting.calls == report["calls"] == CALLS
    moments = [request.moment for request in accounting.accepted]
    seconds = (moments[-1] - moments[0]).total_seconds()
    minimum = 60.0 * ((CALLS - 1) // 600)
    assert minimum <= seconds <= minimum * 1.05


def test_two_simultaneous_refreshes_request_nothing_twice(tmp_path: Path) -> None:
    markets = 100
    with Emulator(plain_universe(markets), calls_per_minute=100_000) as emulator:
        sweeps = [sweep(emulator, tmp_path, 100_000, markets) for _ in range(2)]
        reports = [orjson.loads(running.communicate(timeout=90)[0]) for running in sweeps]
        accounting = emulator.accounting
    asked = [(request.endpoint, symbol) for request in accounting.accepted for symbol in request.symbols]
    assert len(asked) == len(set(asked)) == 4 * markets
    assert sum(report["calls"] for report in reports) == 4 * markets
    for report in reports:
        assert report["stopped"] == ""
        assert all(dataset["waiting"] == 0 for dataset in report["datasets"].values())
