"""The time of day and waiting, as something that is passed in."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final


@dataclass(frozen=True, slots=True)
class Clock:
    """`seconds` gives the time of day as UNIX seconds, `sleep` waits for so many.

    `steady` counts seconds too, from a start of its own, alike for all processes of the machine: nobody sets it, so
    what has to last so long is measured by it.
    """

    seconds: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    steady: Callable[[], float] = time.monotonic

    def now(self) -> datetime:
        """Return the moment, in UTC."""
        return datetime.fromtimestamp(self.seconds(), UTC)


SYSTEM: Final = Clock()
