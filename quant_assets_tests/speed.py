"""Limits of processor time relative to a reference, so that a slow or busy machine does not break them.

Tests that use them are marked `pytest.mark.speed`; `make speed` runs them alone and without coverage, whose tracing
slows some code more than other code.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable

REPEATS = 7
#: Seconds that the reference work takes on the machine that the limits are set for.
REFERENCE_SECONDS = 0.04


def _reference_work() -> None:
    """Do work similar to what is measured: small objects, strings, dictionaries."""
    counts: dict[str, int] = {}
    for number in range(150_000):
        name = f"COIN{number % 977}"
        counts[name] = counts.get(name, 0) + len(name)


def best_cpu_seconds(work: Callable[[], object], tries: int = REPEATS) -> float:
    """Return the minimum processor time of the work, in this process and its finished children."""
    return min(_cpu_seconds_of(work) for _ in range(tries))


def best_cpu_ratio(work: Callable[[], object], reference: Callable[[], object], tries: int = REPEATS) -> float:
    """Return the minimum processor time of the work divided by that of a reference.

    Both run in turn, so that a machine that becomes slower for a while slows both of them.
    """
    taken = [(_cpu_seconds_of(work), _cpu_seconds_of(reference)) for _ in range(tries)]
    return min(seconds for seconds, _ in taken) / min(seconds for _, seconds in taken)


def _cpu_seconds_of(work: Callable[[], object]) -> float:
    began = _cpu_seconds()
    work()
    return _cpu_seconds() - began


def _cpu_seconds() -> float:
    others = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + others.ru_utime + others.ru_stime


def slowness() -> float:
    """Return how many times slower this machine is now than the reference, at least 1."""
    return max(best_cpu_seconds(_reference_work) / REFERENCE_SECONDS, 1.0)


def assert_within(seconds: float, work: Callable[[], object], tries: int = REPEATS) -> None:
    """Assert that the work takes less processor time than this; a slower machine is allowed more."""
    slow = slowness()
    took = best_cpu_seconds(work, tries)
    assert took < seconds * slow, f"{took:.3f} s on a machine {slow:.2f} times as slow as the reference"
