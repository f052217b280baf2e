"""The memory of the test process over many windows, and whether it grows."""

from __future__ import annotations

import gc
import os
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Final

#: Allowed growth from the second quarter of the windows to the last.
MAX_GROWTH: Final = 1.05


def resident_mib() -> float:
    """Return the resident memory of this process in MiB, after garbage was collected."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def check_memory_is_flat(memory_mib: Sequence[float]) -> None:
    """Print the memory in the second and the last quarter of the windows, and require that it has hardly grown."""
    quarter = len(memory_mib) // 4
    second, last = median(memory_mib[quarter : 2 * quarter]), median(memory_mib[-quarter:])
    print(f"memory: {second:.0f} MiB in the second quarter of the day, {last:.0f} MiB in the last")
    assert last <= second * MAX_GROWTH
