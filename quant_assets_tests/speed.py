"""Bounds of time that a slow or busy machine does not break: processor time, measured against a yardstick.

Tests that use it carry `pytest.mark.speed`; `make speed` runs them alone, without coverage, whose tracing costs some
code more than other.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable

TRIES = 7
#: What the yardstick takes on the machine that the bounds are meant for.
YARDSTICK_SECONDS = 0.04


def _yardstick() -> None:
    """Work of the kind that is measured: small objects, texts, dictionaries."""
    counts: dict[str, int] = {}
    for number in range(150_000):
        name = f"COIN{number % 977}"
        counts[name] = counts.get(name, 0) + len(name)


def best_cpu_seconds(work: Callable[[], object], tries: int = TRIES) -> float:
    """Return the least processor time that the work took, of this process and of those that it waited for."""
    taken = []
    for _ in range(tries):
        began = _cpu_seconds()
        work()
        taken.append(_cpu_seconds() - began)
    return min(taken)


def _cpu_seconds() -> float:
    others = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + others.ru_utime + others.ru_stime


def slowness() -> float:
    """Return how many times as slow this machine is at the moment as the yardstick's, 1 where it is faster."""
    return max(best_cpu_seconds(_yardstick) / YARDSTICK_SECONDS, 1.0)


def assert_within(seconds: float, work: Callable[[], object], tries: int = TRIES) -> None:
    """Fail where the work takes longer, on a machine of the yardstick's speed; a slower one has more time."""
    slow = slowness()
    took = best_cpu_seconds(work, tries)
    assert took < seconds * slow, f"{took:.3f} s on a machine {slow:.2f} times as slow as the yardstick's"
