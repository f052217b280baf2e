"""Leases for the windows of a run, so that two runs never write the tables of one window at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from quant_assets.common.progress import Progress, silent
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
def window_leases(
    tags: Mapping[str, str], settings: Settings, now: datetime, progress: Progress = silent
) -> Iterator[WindowLeases]:
    """Hold a lease for each newest window of a run, by its tags; wait for other runs that hold one.

    A lease is a file of the data folder, which ends with its process, or with a database a row there, which ends by
    itself when its machine dies or stands still for longer than a lock lasts. Raises DatabaseError.
    """
    windows = newest_windows_of_run(tags, now)
    with ExitStack() as stack:
        # The oldest first in every run, so that no two runs wait for each other.
        locks = [stack.enter_context(_lease(window, settings, progress)) for window in windows]
        yield WindowLeases(windows, locks)


def _lease(window: Window, settings: Settings, progress: Progress) -> AbstractContextManager[HeldLock]:
    report_waiting = partial(progress, "another run", 0, 1, f"waiting for it to write window {window.key}")
    if settings.database is not None:
        return exclusive(settings.database, f"window {window.key}", report_waiting)
    # The time of day in the name limits the number of files to 96.
    return exclusive(settings.locks_dir, f"window-{window.end:%H%M}", report_waiting)


def newest_windows_of_run(tags: Mapping[str, str], now: datetime) -> list[Window]:
    """Return the windows of a run that ended in the last two hours or have not ended, the oldest first."""
    first, last = (tags.get(name, tags.get(PARTITION)) for name in (FIRST_PARTITION, LAST_PARTITION))
    if first is None or last is None:
        return []
    end, oldest = Window.of_key(last).end, max(Window.of_key(first).end, Window.last_complete(now - LEASED).end)
    return [Window(oldest + number * WINDOW_LENGTH) for number in range((end - oldest) // WINDOW_LENGTH + 1)]
