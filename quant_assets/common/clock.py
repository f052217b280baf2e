"""The clock as a dependency, so that tests can set the time and skip waiting."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final


@dataclass(frozen=True, slots=True)
class Clock:
    """The functions that tell the time and wait.

    `seconds` returns UNIX seconds. `sleep` waits for a number of seconds. `monotonic` returns seconds since an
    arbitrary start that all processes of the machine share; use it to measure durations, since nobody can set it back.
    """

    seconds: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic

    def now(self) -> datetime:
        """Return the current time in UTC."""
        return datetime.fromtimestamp(self.seconds(), UTC)


SYSTEM: Final = Clock()
