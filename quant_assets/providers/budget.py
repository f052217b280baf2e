"""The call budget: limits the calls in any sliding minute, shared by all processes that use the same database.

The provider counts a request when it arrives, some time between sending and response. So the calls of a lease count for
as long as its request may take and a minute more, until `commit` says that the response is here; from then on they
count for a minute. Then 60 seconds between a response and the next request here are at least 60 seconds at the
provider, whatever the latency. The lease of a process that was killed ends by itself. A provider that counts in another
period than a minute gets its budget by `period_seconds`.

Times in a file are those of the machine's monotonic clock, times in the database of a server are the server's. By the
time of day, setting the clock forward would make calls of this minute look old, and setting it back would postpone
deadlines.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Final

import sqlalchemy as sa
from sqlalchemy import bindparam

from quant_assets.common.database_server import CHECK_SERVER, DatabaseServer
from quant_assets.common.files import advice_for
from quant_assets.providers.budget_database import open_budget_database
from quant_assets.providers.errors import BudgetUnusable, DeadlineExceeded
from quant_assets.storage.database import DatabaseError, NewerDatabase
from quant_assets.storage.schema import call_leases, call_throttle

MINUTE_MS: Final = 60_000
#: How long after `renew` a request must have its response. The client gives up before.
MAX_REQUEST_MS: Final = 65_000
#: How long a lease is for. The difference is what may pass between `acquire` and `renew` before it has to be renewed.
LEASE_MS: Final = 70_000
MAX_SLEEP_SECONDS: Final = 1.0
MAX_PAUSE_SECONDS: Final = 600.0
#: Throttling: after a 429 the share of the limit in use is multiplied by this factor, down to the minimum.
THROTTLE_FACTOR: Final = 0.75
MIN_SHARE: Final = 0.25
RECOVERY_PER_MINUTE: Final = 0.02

_OF_BUDGET: Final = call_leases.c.budget == bindparam("of_budget")
_COUNTED: Final = sa.select(call_leases.c.counts_until_ms, call_leases.c.calls).where(
    _OF_BUDGET, call_leases.c.counts_until_ms > bindparam("now")
)
_DELETE_ENDED: Final = sa.delete(call_leases).where(_OF_BUDGET, call_leases.c.counts_until_ms <= bindparam("now"))
_SHORTEN: Final = (
    sa.update(call_leases)
    .where(_OF_BUDGET, call_leases.c.counts_until_ms > bindparam("latest"))
    .values(counts_until_ms=bindparam("until"))
)
_RENEW: Final = (
    sa.update(call_leases)
    .where(call_leases.c.lease == bindparam("name"), call_leases.c.counts_until_ms > bindparam("now"))
    .values(counts_until_ms=bindparam("until"))
)
_SHRINK: Final = sa.update(call_leases).where(call_leases.c.lease == bindparam("name")).values(calls=bindparam("left"))
_RELEASE: Final = sa.delete(call_leases).where(call_leases.c.lease == bindparam("name"))
_THROTTLE: Final = sa.select(call_throttle.c.paused_until_ms, call_throttle.c.share, call_throttle.c.since_ms).where(
    call_throttle.c.budget == bindparam("of_budget")
)
#: Calls that count, with the times (milliseconds of the budget's clock) until which they do.
Counted = list[tuple[int, int]]


@dataclass(slots=True)
class Lease:
    """Calls that were acquired, for a request that must be sent and answered before `ends_ms` of the budget's clock."""

    name: str
    calls: int
    ends_ms: int


@dataclass(frozen=True, slots=True)
class _Throttle:
    """No calls until `paused_until_ms`; `share` of the limit is in use from `since_ms`, and recovers."""

    paused_until_ms: int = 0
    share: float = 1.0
    since_ms: int = 0

    def share_at(self, now: int) -> float:
        minutes = (now - self.since_ms) / MINUTE_MS
        # After a reboot the clock restarts, which would keep the share low for long; it counts as recovered instead.
        if minutes < -MAX_PAUSE_SECONDS / 60:
            return 1.0
        return min(self.share + RECOVERY_PER_MINUTE * max(minutes, 0.0), 1.0)

    def pause_ms_at(self, now: int) -> int:
        """Return how long the pause lasts. A pause longer than any can be is from before a reboot, and has ended."""
        left = self.paused_until_ms - now
        return left if 0 < left <= MAX_PAUSE_SECONDS * 1000 else 0


class CallBudget:
    """`limit` calls in any `period_seconds`, a minute by default, stored in a SQLite file or a database server.

    Processes that open the same file, or the same budget of a server, share it. The calls of a killed process are
    blocked for at most 70 s and a period after it acquired them; after a reboot, which restarts the clock, and after an
    upgrade calls are blocked for at most a period more. `clock` returns monotonic seconds, the same for all processes
    of the machine; `sleep` waits. Tests replace both. With a server the time of what is stored is the server's.
    """

    def __init__(
        self,
        place: Path | DatabaseServer,
        limit: int,
        *,
        period_seconds: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.limit = limit
        self.period_seconds = period_seconds
        self.waited_seconds = 0.0
        self._period_ms = int(period_seconds * 1000)
        self._clock = clock
        self._sleep = sleep
        self._place = place
        self._name = "" if isinstance(place, Path) else place.part
        # Threads of this process take turns here: SQLite lets some of them sleep for up to a second.
        self._turn = Lock()
        with self._translated_errors():
            self._database = open_budget_database(place)

    def acquire(
        self, calls: int, deadline: float | None = None, on_wait: Callable[[float], None] | None = None
    ) -> Lease:
        """Acquire `calls`, waiting until they fit, and return a lease for `renew`, `commit`, `shrink` or `release`.

        `deadline` is in seconds of the budget's clock; `on_wait` is called with the remaining seconds. Raise
        DeadlineExceeded at once if the calls cannot fit before the deadline.
        """
        if calls > self.limit:
            raise ValueError(f"{calls} calls never fit a budget of {self.limit} in {self.period_seconds:g} s")
        if deadline is not None and self._clock() >= deadline:
            raise DeadlineExceeded("the time allowed for calls is up")
        lease = Lease(uuid.uuid4().hex, calls, 0)
        while (wait := self._try_acquire(lease)) > 0:
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

    def renew(self, lease: Lease) -> bool:
        """Let the lease last for a whole request from now on; return False if it has ended meanwhile."""
        local_ms = self._local_ms()
        if lease.ends_ms - local_ms >= MAX_REQUEST_MS:
            return True
        with self._write() as connection:
            now = self._database.now_ms(connection, local_ms)
            until = {"name": lease.name, "now": now, "until": now + LEASE_MS + self._period_ms}
            is_counted = connection.execute(_RENEW, until).rowcount > 0
        lease.ends_ms = local_ms + LEASE_MS
        return is_counted

    def commit(self, lease: Lease) -> None:
        """Count the calls of `lease` for a period from now on: their response is here, or will not come."""
        local_ms = self._local_ms()
        with self._write() as connection:
            # The clock's milliseconds are rounded down.
            until = self._database.now_ms(connection, local_ms) + self._period_ms + 1
            self._add_lease(connection, lease, until)

    def release(self, lease: Lease) -> None:
        """Return calls that were acquired but not sent."""
        with self._write() as connection:
            connection.execute(_RELEASE, {"name": lease.name})

    def shrink(self, lease: Lease, calls: int) -> None:
        """Return all but `calls` of the calls of `lease`."""
        lease.calls = calls
        with self._write() as connection:
            connection.execute(_SHRINK, {"name": lease.name, "left": calls})

    def pause(self, seconds: float) -> None:
        """Block everybody who shares this budget for `seconds`, and throttle afterwards: the provider sent a 429.

        Another client of the same key spends its calls. The share of the limit in use falls by a quarter for each
        pause, whatever requests were on their way, and recovers by two hundredths a minute.
        """
        local_ms = self._local_ms()
        with self._write() as connection:
            now = self._database.now_ms(connection, local_ms)
            until = now + int(seconds * 1000)
            throttle = self._read_throttle(connection)
            paused_ms = throttle.pause_ms_at(now)
            share = throttle.share_at(now) * (1.0 if paused_ms else THROTTLE_FACTOR)
            paused_until, share = max(until, now + paused_ms), max(share, MIN_SHARE)
            self._database.replace_rows(connection, call_throttle, [(self._name, paused_until, share, until)])

    def share(self) -> float:
        """Return the share of the limit in use: 1 unless the provider has sent a 429 lately."""
        now, throttle, _ = self._state()
        return throttle.share_at(now)

    def spent(self) -> int:
        """Return the calls that count now: those of the last period, and of requests without a response."""
        return min(_sum(self._state()[2]), self.limit)

    def available(self, within_seconds: float = 0.0) -> int:
        """Return how many calls fit within so many seconds, unless another process acquires them first."""
        now, throttle, counted = self._state(int(within_seconds * 1000))
        return max(int(self.limit * throttle.share_at(now)) - _sum(counted), 0)

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def _try_acquire(self, lease: Lease) -> float:
        """Acquire the calls if they fit and return 0, else return the seconds until another try makes sense."""
        with self._write() as connection:
            local_ms = self._local_ms()
            now = self._database.now_ms(connection, local_ms)
            connection.execute(_DELETE_ENDED, {"of_budget": self._name, "now": now})
            # A lease that counts for longer than any can is from before a reboot or an upgrade.
            shorten = {"latest": now + LEASE_MS + self._period_ms, "until": now + self._period_ms}
            connection.execute(_SHORTEN, {"of_budget": self._name, **shorten})
            throttle = self._read_throttle(connection)
            wait_ms = throttle.pause_ms_at(now)
            if not wait_ms:
                counted = self._read_counted(connection, now)
                limit = max(int(self.limit * throttle.share_at(now)), lease.calls)
                wait_ms = _wait_ms(counted, lease.calls, limit, now, self._period_ms)
            if not wait_ms:
                lease.ends_ms = local_ms + LEASE_MS
                self._add_lease(connection, lease, now + LEASE_MS + self._period_ms)
            return wait_ms / 1000

    def _state(self, later_ms: int = 0) -> tuple[int, _Throttle, Counted]:
        """Return the time now, the throttle, and what counts `later_ms` from now."""
        local_ms = self._local_ms()

        def read(connection: sa.Connection) -> tuple[int, _Throttle, Counted]:
            now = self._database.now_ms(connection, local_ms)
            return now, self._read_throttle(connection), self._read_counted(connection, now + later_ms)

        with self._translated_errors():
            return self._database.read(read)

    def _read_throttle(self, connection: sa.Connection) -> _Throttle:
        row = connection.execute(_THROTTLE, {"of_budget": self._name}).first()
        return _Throttle(*row) if row else _Throttle()

    def _read_counted(self, connection: sa.Connection, now: int) -> Counted:
        counted = connection.execute(_COUNTED, {"of_budget": self._name, "now": now})
        return [(until, calls) for until, calls in counted]

    def _add_lease(self, connection: sa.Connection, lease: Lease, until: int) -> None:
        self._database.replace_rows(connection, call_leases, [(lease.name, lease.calls, until, self._name)])

    @contextmanager
    def _write(self) -> Iterator[sa.Connection]:
        with self._turn, self._translated_errors(), self._database.write() as connection:
            yield connection

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        """Raise BudgetUnusable with advice if the budget cannot be read or written."""
        try:
            yield
        except NewerDatabase as error:
            raise BudgetUnusable(f"the call budget {self._place} {error}") from error
        except (DatabaseError, OSError) as error:
            otherwise = "move it away, or make its folder writable" if isinstance(self._place, Path) else CHECK_SERVER
            raise BudgetUnusable(
                f"the call budget {self._place} cannot be used ({error}); {advice_for(error) or otherwise}"
            ) from error

    def _local_ms(self) -> int:
        return int(self._clock() * 1000)


def _sum(counted: Counted) -> int:
    return sum(calls for _, calls in counted)


def _wait_ms(counted: Counted, calls: int, limit: int, now: int, period_ms: int) -> int:
    """Return the milliseconds until `calls` fit at the earliest, 0 if they fit now.

    What counts for over a period is a lease without a response, which may come at any moment; then it counts for a
    period.
    """
    surplus = _sum(counted) + calls - limit
    for until, number in sorted((min(until, now + period_ms), number) for until, number in counted):
        if surplus <= 0:
            break
        surplus -= number
        if surplus <= 0:
            return max(until - now, 1)
    return 0
