"""The number of windows of a run of a backfill, which the environment sets."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from quant_assets.common.settings import Settings, SettingsError

SHOW = """
from quant_assets.orchestration.partitions import BACKFILL_POLICY
print(BACKFILL_POLICY.max_partitions_per_run)
"""


def shown(**variables: str) -> str:
    """Return what a code location with these variables uses."""
    given = {name: value for name, value in os.environ.items() if not name.startswith("QUANT")}
    command = [sys.executable, "-c", SHOW]
    return subprocess.run(
        command, env={**given, **variables}, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.mark.parametrize(("given", "windows"), [("", 16), ("96", 96), ("0", 16), ("many", 16), ("9999", 16)])
def test_variable_sets_the_windows_of_a_run(given: str, windows: int) -> None:
    assert shown(QUANT_WINDOWS_PER_RUN=given) == str(windows)


@pytest.mark.parametrize("given", ["0", "many", "9999"])
def test_invalid_number_of_windows_is_refused_with_its_variable(given: str) -> None:
    with pytest.raises(SettingsError, match=r"^QUANT_WINDOWS_PER_RUN must be a whole number from 1 to 2976$"):
        Settings.from_environment({"QUANT_WINDOWS_PER_RUN": given})
