"""Told to stop, a scan stops, wherever it is: at once, with a line, and without asking once more.

Here: signals from a person or a service manager. Not here: SIGKILL (test_kills.py, test_killed_scans.py).
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from quant_assets_tests.coinalyze.scripted import Canned
from quant_assets_tests.faults.gate import Asked, Gate
from quant_assets_tests.world import World

#: Of a machine that is busy with other things; what is not interrupted takes many times as long.
AT_ONCE_SECONDS = 20


@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
@pytest.mark.parametrize("endpoint", ["exchanges", "open-interest-history"])
def test_a_scan_that_is_told_to_stop_stops_at_once_and_asks_for_nothing_more(
    world: World, tmp_path: Path, told: signal.Signals, endpoint: str
) -> None:
    def drip(asked: Asked, answer: Canned) -> Canned:
        return Canned(length=10**9, ending="drip") if asked.endpoint == endpoint else answer

    with Gate(world.emulator, drip) as gate:
        scan = subprocess.Popen(
            [sys.executable, "-m", "quant_assets", "scan", str(world.candles), "--json"],
            env={**world.environment(f"told_{told.name}_{endpoint}"), "COINALYZE_BASE_URL": gate.url},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        latest = time.monotonic() + 60
        while not any(asked.endpoint == endpoint for asked in gate.asked):
            assert time.monotonic() < latest
            time.sleep(0.02)
        asked = len(gate.asked)
        scan.send_signal(told)
        output, said = scan.communicate(timeout=AT_ONCE_SECONDS)
        assert len(gate.asked) == asked
    assert scan.returncode == 1
    assert output == ""
    assert "interrupted; what was fetched is kept" in said
    assert len(said.splitlines()) == 1
