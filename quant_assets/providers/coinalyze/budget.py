"""The call budget: limits the calls in any sliding minute, shared by all processes that use the same file.

The provider counts a request when it arrives, some time between sending and response. So calls are recorded when they
are acquired, and moved to the time of the response by `commit`. Then 60 seconds between a response and the next
request here are at least 60 seconds at the provider, whatever the latency. Calls of a process that was killed before
its response are committed by the next process that acquires some.

Times are those of a monotonic clock. By the time of day, setting the clock forward would make calls of this minute
look old, and setting it back would postpone deadlines.
"""

from __future__ import annotations

import os
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from filelock import FileLock
from pyrate_limiter import Rate, RateItem, SQLiteBucket

from quant_assets.common.files import advice_for
from quant_assets.common.processes import pid_exists
from quant_assets.providers.coinalyze.errors import BudgetUnusable, DeadlineExceeded

MINUTE_MS: Final = 60_000
TABLE: Final = "calls"
#: The name, in the file, of calls that are no longer leased.
COMMITTED: Final = "settled"
MAX_SLEEP_SECONDS: Final = 1.0
MAX_PAUSE_SECONDS: Final = 600.0
#: Throttling: after a 429 the share of the limit in use is multiplied by this factor, down to the minimum.
THROTTLE_FACTOR: Final = 0.75
MIN_SHARE: Final = 0.25
RECOVERY_PER_MINUTE: Final = 0.02


class CallBudget:
    """`calls_per_minute` calls in any sliding minute, stored in the SQLite file `path`.

    Processes that open the same file share one budget. After a crash or a reboot (which restarts the clock) calls are
    blocked for at most a minute. `clock` returns monotonic seconds, the same for all processes of the machine; `sleep`
    waits. Tests replace both.
    """

    def __init__(
        self,
        path: Path,
        calls_per_minute: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.calls_per_minute = calls_per_minute
        self.waited_seconds = 0.0
        self._clock = clock
        self._sleep = sleep
        self._path = path
        with self._translate_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            # The bucket's own lock guards each of its operations; this one makes several of them atomic. Opening is
            # locked too: of two processes that find a damaged file, the second must not move the first's new file.
            self._lock = FileLock(f"{path}.step")
            with self._lock:
                self._bucket = self._open(path)
        with self._locked():
            self._execute("CREATE TABLE IF NOT EXISTS pause (until_ms INTEGER NOT NULL)")
            self._execute("CREATE TABLE IF NOT EXISTS easing (share REAL NOT NULL, at_ms INTEGER NOT NULL)")

    def acquire(self, calls: int, deadline: float | None = None, on_wait: Callable[[float], None] | None = None) -> str:
        """Acquire `calls`, waiting until they fit, and return a lease for `commit`, `shrink` or `release`.

        `deadline` is in seconds of the budget's clock; `on_wait` is called with the remaining seconds. Raise
        DeadlineExceeded at once if the calls cannot fit before the deadline.
        """
        if calls > self.calls_per_minute:
            raise ValueError(f"{calls} calls never fit a budget of {self.calls_per_minute} a minute")
        if deadline is not None and self._clock() >= deadline:
            raise DeadlineExceeded("the time allowed for calls is up")
        lease = f"{os.getpid()}:{uuid.uuid4().hex}"
        while (wait := self._try_acquire(lease, calls)) > 0:
            now = self._clock()
            if deadline is not None and now + wait > deadline:
                raise DeadlineExceeded(f"the next {calls} calls fit in {wait:.0f} s, after the time allowed for them")
            if on_wait is not None:
                on_wait(wait)
            self.wait(min(wait, MAX_SLEEP_SECONDS))
        return lease

    def now(self) -> float:
        """Return the time of the budget's clock in seconds, to compare deadlines with."""
        return self._clock()

    def wait(self, seconds: float) -> None:
        """Sleep, and add the time to `waited_seconds`."""
        self._sleep(seconds)
        self.waited_seconds += seconds

    def commit(self, lease: str) -> None:
        """Count the calls of `lease` from now on: their response is here, or will not come."""
        with self._locked():
            self._commit(lease, self._now_ms())

    def release(self, lease: str) -> None:
        """Return calls that were acquired but not sent."""
        with self._locked():
            self._execute(f"DELETE FROM {TABLE} WHERE name = ?", lease)  # noqa: S608 - a constant

    def shrink(self, lease: str, calls: int) -> None:
        """Return all but `calls` of the calls of `lease`."""
        with self._locked():
            self._execute(
                f"DELETE FROM {TABLE} WHERE name = ? AND rowid NOT IN"  # noqa: S608 - a constant
                f" (SELECT rowid FROM {TABLE} WHERE name = ? LIMIT ?)",
                lease,
                lease,
                calls,
            )

    def pause(self, seconds: float) -> None:
        """Block everybody who shares this budget for `seconds`, and throttle afterwards: the provider sent a 429.

        Another client of the same key spends its calls. The share of the limit in use falls by a quarter each time, and
        recovers by two hundredths a minute.
        """
        now = self._now_ms()
        until = now + int(seconds * 1000)
        with self._locked():
            share = max(self._share(now) * THROTTLE_FACTOR, MIN_SHARE)
            self._execute("DELETE FROM easing")
            self._execute("INSERT INTO easing VALUES (?, ?)", share, until)
            # A pause further in the future than any can be is from before a reboot, and must not shadow this one.
            latest = now + int(MAX_PAUSE_SECONDS * 1000)
            self._execute("DELETE FROM pause WHERE until_ms <= ? OR until_ms > ?", until, latest)
            self._execute("INSERT INTO pause SELECT ? WHERE NOT EXISTS (SELECT 1 FROM pause)", until)

    def share(self) -> float:
        """Return the share of the limit in use: 1 unless the provider has sent a 429 lately."""
        with self._locked():
            return self._share(self._now_ms())

    def spent(self) -> int:
        """Return the calls of the last minute."""
        with self._locked():
            return self._spent(self._now_ms())

    def available(self, within_seconds: float = 0.0) -> int:
        """Return how many calls fit within so many seconds, unless another process acquires them first."""
        with self._locked():
            now = self._now_ms()
            spent = self._spent(now + int(within_seconds * 1000))
            return max(int(self.calls_per_minute * self._share(now)) - spent, 0)

    def close(self) -> None:
        """Close the file."""
        self._bucket.close()  # type: ignore[no-untyped-call]

    def _open(self, path: Path) -> SQLiteBucket:
        rates = [Rate(self.calls_per_minute, MINUTE_MS)]
        try:
            return SQLiteBucket.init_from_file(rates, table=TABLE, db_path=str(path), use_file_lock=True)
        except sqlite3.OperationalError:
            raise  # locked, full or read-only: the file itself may be intact
        except sqlite3.DatabaseError:
            # A damaged file held only the calls of a minute. It is kept under another name for inspection.
            path.replace(path.with_suffix(".damaged"))
            return SQLiteBucket.init_from_file(rates, table=TABLE, db_path=str(path), use_file_lock=True)

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Raise BudgetUnusable with advice if the file cannot be used."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise BudgetUnusable(
                f"the call budget {self._path} cannot be used ({error}); "
                + (advice_for(error) or "move it away, or make its folder writable")
            ) from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock, so that several operations on the file are atomic."""
        with self._translate_errors(), self._lock:
            yield

    def _try_acquire(self, lease: str, calls: int) -> float:
        """Acquire the calls if they fit and return 0, else return the seconds until another try makes sense."""
        with self._locked():
            now = self._now_ms()
            # After a reboot the clock restarts, and old calls are in the future; they count from now on instead.
            self._execute(f"UPDATE {TABLE} SET item_timestamp = ? WHERE item_timestamp > ?", now, now)  # noqa: S608 - a constant
            self._reap_dead_owners(now)
            paused_until = self._execute("SELECT COALESCE(MAX(until_ms), 0) FROM pause")[0][0]
            if 0 < paused_until - now <= MAX_PAUSE_SECONDS * 1000:
                return float(paused_until - now) / 1000
            self._bucket.leak(now)
            if (wait_ms := self._throttled_wait_ms(calls, now)) > 0:
                return wait_ms / 1000
            item = RateItem(lease, now, weight=calls)
            if self._bucket.put(item):
                return 0.0
            return max(float(self._bucket.waiting(item)), 1.0) / 1000  # type: ignore[arg-type]

    def _commit(self, lease: str, now: int) -> None:
        sql = f"UPDATE {TABLE} SET item_timestamp = ?, name = ? WHERE name = ?"  # noqa: S608 - a constant
        self._execute(sql, now, COMMITTED, lease)

    def _reap_dead_owners(self, now: int) -> None:
        """Commit the leases of processes that no longer run: a request in flight has arrived by now."""
        for (lease,) in self._execute(f"SELECT DISTINCT name FROM {TABLE} WHERE name <> ?", COMMITTED):  # noqa: S608 - a constant
            pid = lease.partition(":")[0]
            if not (pid.isdigit() and pid_exists(int(pid))):
                self._commit(lease, now)

    def _spent(self, now: int) -> int:
        rows = self._execute(f"SELECT COUNT(*) FROM {TABLE} WHERE item_timestamp >= ?", now - MINUTE_MS)  # noqa: S608 - a constant
        return int(rows[0][0])

    def _share(self, now: int) -> float:
        rows = self._execute("SELECT share, at_ms FROM easing")
        if not rows:
            return 1.0
        share, since = rows[0]
        minutes = (now - since) / MINUTE_MS
        # After a reboot the clock restarts, which would keep the share low for long; it counts as recovered instead.
        return 1.0 if minutes < -MAX_PAUSE_SECONDS / 60 else min(share + RECOVERY_PER_MINUTE * max(minutes, 0.0), 1.0)

    def _throttled_wait_ms(self, calls: int, now: int) -> int:
        """Return the milliseconds until `calls` fit the share of the limit in use."""
        share = self._share(now)
        if share >= 1.0:
            return 0
        limit = max(int(self.calls_per_minute * share), calls)
        rows = self._execute(
            f"SELECT item_timestamp FROM {TABLE} WHERE item_timestamp >= ? ORDER BY item_timestamp",  # noqa: S608 - a constant
            now - MINUTE_MS,
        )
        surplus = len(rows) + calls - limit
        return int(rows[surplus - 1][0]) + MINUTE_MS - now + 1 if surplus > 0 else 0

    def _execute(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        connection: sqlite3.Connection = self._bucket.conn
        with connection, closing(connection.execute(sql, values)) as cursor:
            return cursor.fetchall()

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)
