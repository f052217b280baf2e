"""Tests of refreshes in separate processes with real time: the minimum duration, and kills."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from quant_assets.common.windows import Window
from quant_assets.emulator import Emulator, plain_universe

pytestmark = pytest.mark.slow

MARKETS = 300
CALLS = MARKETS * 4


def sweep(emulator: Emulator, folder: Path, calls_per_minute: int, seconds_later: float = 0) -> subprocess.Popen[str]:
    window = Window.last_complete(datetime.now(UTC)).key
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "quant_assets_tests.derivatives.sweep"),
            *(emulator.url, str(folder), str(MARKETS), str(calls_per_minute), window, str(seconds_later)),
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


def test_killed_refresh_loses_at_most_twenty_calls(tmp_path: Path) -> None:
    with Emulator(plain_universe(MARKETS), calls_per_minute=100_000) as emulator:
        killed = sweep(emulator, tmp_path, 100_000)
        latest = time.monotonic() + 60
        while emulator.accounting.calls < CALLS // 2 and time.monotonic() < latest:
            time.sleep(0.002)
        killed.kill()
        killed.wait()
        spent = emulator.accounting.calls
        assert CALLS // 2 <= spent < CALLS, "killed in the middle"
        # Later than the claims of the killed refresh last.
        output, _ = sweep(emulator, tmp_path, 100_000, seconds_later=80).communicate(timeout=60)
        accounting = emulator.accounting
    report = orjson.loads(output)
    assert accounting.calls <= CALLS + 20
    assert report["stopped"] == ""
    assert sum(dataset["known"] + dataset["fetched"] for dataset in report["datasets"].values()) == CALLS


def test_two_simultaneous_refreshes_request_nothing_twice(tmp_path: Path) -> None:
    with Emulator(plain_universe(MARKETS), calls_per_minute=100_000) as emulator:
        sweeps = [sweep(emulator, tmp_path, 100_000) for _ in range(2)]
        reports = [orjson.loads(running.communicate(timeout=90)[0]) for running in sweeps]
        accounting = emulator.accounting
    asked = [(request.endpoint, symbol) for request in accounting.accepted for symbol in request.symbols]
    assert len(asked) == len(set(asked)) == CALLS
    assert sum(report["calls"] for report in reports) == CALLS
    for report in reports:
        assert report["stopped"] == ""
        assert all(dataset["waiting"] == 0 for dataset in report["datasets"].values())
