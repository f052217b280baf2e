"""Leases for the windows of a run, so that two machines never write the tables of one window at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from quant_assets.common.settings import Settings
from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.orchestration.run_tags import FIRST_PARTITION, LAST_PARTITION, PARTITION
from quant_assets.storage.held_lock import HeldLock
from quant_assets.storage.locks import exclusive

#: Runs of a scan are about the newest windows. Older ones are replayed by one backfill, and need no lease.
LEASED: Final = timedelta(hours=2)


@dataclass(frozen=True)
class WindowLeases:
    """The newest windows of a run, and the leases that it holds for them."""

    windows: list[Window]
    locks: list[HeldLock]

    def require(self) -> None:
        """Raise LostLock if a lease has ended, so that another run may write its window. Raises DatabaseError."""
        for lock in self.locks:
            lock.require()


@contextmanager
def window_leases(tags: Mapping[str, str], settings: Settings, now: datetime) -> Iterator[WindowLeases]:
    """Hold a lease for each newest window of a run, by its tags; wait for runs of other machines that hold one.

    Without a database nothing is held: the pool `analysis` lets runs take turns. A lease ends by itself when its
    machine dies, or stands still for longer than a lock lasts. Raises DatabaseError.
    """
    windows = newest_windows_of_run(tags, now)
    with ExitStack() as stack:
        locks: list[HeldLock] = []
        if settings.database is not None:
            # The oldest first in every run, so that no two runs wait for each other.
            leases = [exclusive(settings.database, f"window {window.key}") for window in windows]
            locks = [stack.enter_context(lease) for lease in leases]
        yield WindowLeases(windows, locks)


def newest_windows_of_run(tags: Mapping[str, str], now: datetime) -> list[Window]:
    """Return the windows of a run that ended in the last two hours or have not ended, the oldest first."""
    first, last = (tags.get(name, tags.get(PARTITION)) for name in (FIRST_PARTITION, LAST_PARTITION))
    if first is None or last is None:
        return []
    end, oldest = Window.of_key(last).end, max(Window.of_key(first).end, Window.last_complete(now - LEASED).end)
    return [Window(oldest + number * WINDOW_LENGTH) for number in range((end - oldest) // WINDOW_LENGTH + 1)]
