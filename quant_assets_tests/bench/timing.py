"""Measure the time of a call, and the time and peak memory of a process."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

KIB_PER_MIB = 1024.0


@dataclass
class Times:
    """Repeated measurements of one stage: wall time and processor time in seconds."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def measure(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Run the work once, record its time, and return its result."""
        wall, cpu = time.perf_counter(), time.process_time()
        result = work(*arguments)
        self.cpu.append(time.process_time() - cpu)
        self.wall.append(time.perf_counter() - wall)
        return result

    @property
    def wall_median(self) -> float:
        """Return the median wall time in seconds."""
        return median(self.wall)

    @property
    def cpu_median(self) -> float:
        """Return the median processor time in seconds."""
        return median(self.cpu)


def run(command: Sequence[str], times: Times, **environment: str) -> tuple[bytes, float]:
    """Run a program, record its time, and return its output and peak memory in MiB. Raise RuntimeError if it fails."""
    kept: Mapping[str, str] = {
        name: value for name, value in os.environ.items() if not name.startswith(("COINALYZE", "QUANT", "DAGSTER"))
    }
    wall = time.perf_counter()
    process = subprocess.Popen(command, env={**kept, **environment}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    times.wall.append(time.perf_counter() - wall)
    times.cpu.append(usage.ru_utime + usage.ru_stime)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    return output, usage.ru_maxrss / KIB_PER_MIB
