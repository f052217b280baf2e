"""Locks by name, in files of one machine, or in a database for several.

A lock in a file ends with its process. One in a database is renewed by its holder, and ends by itself by the time of
the database, so that the death of a machine frees it. A holder that was paused for longer may have lost it, and
`require` says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from quant_assets.common.database_server import DatabaseServer
from quant_assets.storage.held_lock import LOCK_SECONDS, HeldLock


@contextmanager
def exclusive(
    place: Path | DatabaseServer,
    name: str,
    on_wait: Callable[[], None] | None = None,
    *,
    lock_seconds: float = LOCK_SECONDS,
) -> Iterator[HeldLock]:
    """Hold the lock of a name: the file `NAME.lock` in a folder, or a row of a database.

    `on_wait` is called once if another holder is waited for. `lock_seconds` is how long a lock in a database lasts
    after its holder died. Raises DatabaseError.
    """
    if isinstance(place, Path):
        place.mkdir(parents=True, exist_ok=True)
        file = FileLock(place / f"{name}.lock")
        try:
            file.acquire(timeout=0)
        except Timeout:
            if on_wait is not None:
                on_wait()
            file.acquire()
        try:
            yield HeldLock()
        finally:
            file.release()
        return
    from quant_assets.storage.database_locks import held_in_database  # noqa: PLC0415 - only with a database

    with held_in_database(place, name, on_wait, lock_seconds=lock_seconds) as lock:
        yield lock
