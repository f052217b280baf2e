"""What the holder of a lock has."""

from __future__ import annotations

from typing import Final

#: How long a lock in a database lasts after it was renewed.
LOCK_SECONDS: Final = 30.0


class LostLock(RuntimeError):
    """A lock ended while its holder did not run, and another may have it; the message names the lock."""


class HeldLock:
    """A lock in a file, which is never lost."""

    def require(self) -> None:
        """Raise LostLock if the lock has ended."""
