"""The command `scan` as a process of its own.

Here: starting it. Not here: what is done to it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from quant_assets_tests.world import World


def scan_arguments(world: World) -> list[str]:
    """Return the command that scans a world's window."""
    moment = world.window.end.isoformat().replace("+00:00", "Z")
    return [sys.executable, "-m", "quant_assets", "scan", str(world.candles), "--as-of", moment, "--json"]


def scan_command(world: World, name: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Scan into a data folder of this name."""
    return subprocess.run(
        scan_arguments(world),
        env=world.environment(name),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
