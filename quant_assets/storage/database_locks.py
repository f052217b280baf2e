"""Locks in a database, which their holders renew. Import this module only where there is a database."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
from sqlalchemy import bindparam

from quant_assets.common.database_server import DatabaseServer
from quant_assets.storage.database import DatabaseError
from quant_assets.storage.held_lock import LOCK_SECONDS, HeldLock, LostLock
from quant_assets.storage.opening import open_database
from quant_assets.storage.schema import locks

if TYPE_CHECKING:
    from quant_assets.storage.opening import AnyDatabase

#: The share of a lock's length after which it is renewed.
RENEW_SHARE: Final = 1 / 3
RETRY_SECONDS: Final = 0.2

_HELD: Final = sa.select(locks.c.owner).where(
    locks.c.name == bindparam("of_name"), locks.c.until_ms > bindparam("now_ms")
)
_RENEW: Final = (
    sa.update(locks)
    .where(
        locks.c.name == bindparam("of_name"),
        locks.c.owner == bindparam("of_owner"),
        locks.c.until_ms > bindparam("now_ms"),
    )
    .values(until_ms=bindparam("later_ms"))
)
_RELEASE: Final = sa.delete(locks).where(locks.c.name == bindparam("of_name"), locks.c.owner == bindparam("of_owner"))


class _DatabaseLock(HeldLock):
    """A lock in a database, which a thread renews."""

    def __init__(self, database: AnyDatabase, name: str, lock_seconds: float) -> None:
        self._database = database
        self._name = name
        self._owner = uuid.uuid4().hex
        self._lock_seconds = lock_seconds
        self._held_until = 0.0
        self._ended = threading.Event()
        self._renewing = threading.Thread(target=self._renew_until_ended, name=f"lock {name}", daemon=True)

    def try_acquire(self) -> bool:
        """Acquire the lock if nobody has it, and renew it from now on."""
        asked_at = time.monotonic()
        with self._database.write() as connection:
            now_ms = self._database.now_ms(connection, int(asked_at * 1000))
            if connection.execute(_HELD, {"of_name": self._name, "now_ms": now_ms}).first() is not None:
                return False
            row = (self._name, self._owner, now_ms + int(self._lock_seconds * 1000))
            self._database.replace_rows(connection, locks, [row])
        self._held_until = asked_at + self._lock_seconds
        self._renewing.start()
        return True

    def require(self) -> None:
        """Raise LostLock if the lock has ended. Raises DatabaseError."""

        def owner(connection: sa.Connection) -> str | None:
            now_ms = self._database.now_ms(connection, int(time.monotonic() * 1000))
            found = connection.execute(_HELD, {"of_name": self._name, "now_ms": now_ms}).first()
            return None if found is None else str(found.owner)

        if time.monotonic() >= self._held_until or self._database.read(owner) != self._owner:
            raise LostLock(f"the lock {self._name!r} ended while this process did not run; what it did may be redone")

    def release(self) -> None:
        """Release the lock; if the database cannot be reached, it ends by itself."""
        self._ended.set()
        self._renewing.join()
        try:
            with self._database.write() as connection:
                connection.execute(_RELEASE, {"of_name": self._name, "of_owner": self._owner})
        except DatabaseError:
            return

    def _renew_until_ended(self) -> None:
        while not self._ended.wait(self._lock_seconds * RENEW_SHARE):
            asked_at = time.monotonic()
            try:
                with self._database.write() as connection:
                    now_ms = self._database.now_ms(connection, int(asked_at * 1000))
                    later_ms = now_ms + int(self._lock_seconds * 1000)
                    found = {"of_name": self._name, "of_owner": self._owner, "now_ms": now_ms, "later_ms": later_ms}
                    if connection.execute(_RENEW, found).rowcount == 0:
                        self._held_until = 0.0
                        return
            except DatabaseError:
                continue  # it is tried again until the lock has ended
            self._held_until = asked_at + self._lock_seconds


@contextmanager
def held_in_database(
    server: DatabaseServer,
    name: str,
    on_wait: Callable[[], None] | None = None,
    *,
    lock_seconds: float = LOCK_SECONDS,
) -> Iterator[HeldLock]:
    """Hold the lock of a name, as `quant_assets.storage.locks.exclusive` does."""
    # Writers of a part of the database exclude each other, and a long write of the store must not delay a renewal.
    with closing(open_database(server.part_of(f"lock {name}"))) as database:
        lock = _DatabaseLock(database, name, lock_seconds)
        while not lock.try_acquire():
            if on_wait is not None:
                on_wait()
                on_wait = None
            time.sleep(RETRY_SECONDS)
        try:
            yield lock
        finally:
            lock.release()
