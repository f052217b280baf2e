"""The call budget: how many symbols may be asked for in any sixty seconds, shared by all processes here.

The provider counts a request when it arrives, which is some time between sending it and having its answer. So
a call is entered when it is taken, and moved to the moment of the answer by `settle`: then sixty seconds
between an answer and the next call here are at least sixty seconds over there, whatever the way took. The calls
of a process that was killed before its answer are settled by whoever takes the next.

Time here is that of a clock which nobody sets. By the time of day, a clock that is put forward would make calls
of this minute look old, and one that is put back would make a deadline recede.
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
#: The name of calls that nobody has a receipt for any more.
SETTLED: Final = "settled"
MAX_NAP_SECONDS: Final = 1.0
MAX_PAUSE_SECONDS: Final = 600.0
EASED_TO: Final = 0.75
MIN_SHARE: Final = 0.25
RECOVERED_A_MINUTE: Final = 0.02


class CallBudget:
    """`calls_per_minute` calls in any sliding minute, kept in the SQLite file `path`.

    Processes with the same file share one budget. Neither a crash nor a machine that was started anew, and with it
    the clock, locks anyone out for more than a minute. `clock` gives seconds that pass alike for all processes of
    the machine, `sleep` waits; both are there to be replaced by a simulation.
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
        with self._usable():
            path.parent.mkdir(parents=True, exist_ok=True)
            # The bucket's own lock guards each of its operations; this one makes several of them one step. To open
            # is one too: of two processes that find a damaged file, the second must not move the first's new one.
            self._lock = FileLock(f"{path}.step")
            with self._lock:
                self._bucket = self._open(path)
        with self._step():
            self._execute("CREATE TABLE IF NOT EXISTS pause (until_ms INTEGER NOT NULL)")
            self._execute("CREATE TABLE IF NOT EXISTS easing (share REAL NOT NULL, at_ms INTEGER NOT NULL)")

    def take(self, calls: int, deadline: float | None = None, on_wait: Callable[[float], None] | None = None) -> str:
        """Take `calls` out of the budget, waiting for room; returns a receipt for `settle` or `give_back`.

        `deadline` is by the clock of the budget; `on_wait` is told the seconds still to wait. Raises DeadlineExceeded
        as soon as it is clear that there is no room before the deadline, without waiting for it.
        """
        if calls > self.calls_per_minute:
            raise ValueError(f"{calls} calls never fit a budget of {self.calls_per_minute} a minute")
        if deadline is not None and self._clock() >= deadline:
            raise DeadlineExceeded("the time allowed for calls is up")
        receipt = f"{os.getpid()}:{uuid.uuid4().hex}"
        while (wait := self._try(receipt, calls)) > 0:
            now = self._clock()
            if deadline is not None and now + wait > deadline:
                raise DeadlineExceeded(f"the next {calls} calls fit in {wait:.0f} s, after the time allowed for them")
            if on_wait is not None:
                on_wait(wait)
            self.nap(min(wait, MAX_NAP_SECONDS))
        return receipt

    def now(self) -> float:
        """Return the seconds of the budget's clock: what a deadline is compared with."""
        return self._clock()

    def nap(self, seconds: float) -> None:
        """Wait, and count it."""
        self._sleep(seconds)
        self.waited_seconds += seconds

    def settle(self, receipt: str) -> None:
        """Count the calls of `receipt` from now on: their answer is here, or will not come."""
        with self._step():
            self._settle(receipt, self._now_ms())

    def give_back(self, receipt: str) -> None:
        """Put back calls that were taken but never sent."""
        with self._step():
            self._execute(f"DELETE FROM {TABLE} WHERE name = ?", receipt)  # noqa: S608 - a constant

    def keep(self, receipt: str, calls: int) -> None:
        """Put back all but `calls` of what was taken."""
        with self._step():
            self._execute(
                f"DELETE FROM {TABLE} WHERE name = ? AND rowid NOT IN"  # noqa: S608 - a constant
                f" (SELECT rowid FROM {TABLE} WHERE name = ? LIMIT ?)",
                receipt,
                receipt,
                calls,
            )

    def pause(self, seconds: float) -> None:
        """Let nobody who shares this budget call for `seconds`, and ease off afterwards: the provider said so.

        Somebody else spends the key's calls. The share of the limit that is used falls by a quarter each time, and
        comes back by two hundredths a minute.
        """
        now = self._now_ms()
        until = now + int(seconds * 1000)
        with self._step():
            share = max(self._share(now) * EASED_TO, MIN_SHARE)
            self._execute("DELETE FROM easing")
            self._execute("INSERT INTO easing VALUES (?, ?)", share, until)
            # One of a clock that began anew since is nobody's any more, and must not stand in the way of this one.
            foreign = now + int(MAX_PAUSE_SECONDS * 1000)
            self._execute("DELETE FROM pause WHERE until_ms <= ? OR until_ms > ?", until, foreign)
            self._execute("INSERT INTO pause SELECT ? WHERE NOT EXISTS (SELECT 1 FROM pause)", until)

    def share(self) -> float:
        """Return the share of the limit that is used at present; 1 unless the provider has said 429 lately."""
        with self._step():
            return self._share(self._now_ms())

    def spent(self) -> int:
        """Return how many calls count against the minute that ends now."""
        with self._step():
            return self._spent(self._now_ms())

    def room(self, within_seconds: float = 0.0) -> int:
        """Return for how many calls there is room within so many seconds, unless another process takes them first."""
        with self._step():
            now = self._now_ms()
            spent = self._spent(now + int(within_seconds * 1000))
            return max(int(self.calls_per_minute * self._share(now)) - spent, 0)

    def close(self) -> None:
        """Let go of the file."""
        self._bucket.close()  # type: ignore[no-untyped-call]

    def _open(self, path: Path) -> SQLiteBucket:
        rates = [Rate(self.calls_per_minute, MINUTE_MS)]
        try:
            return SQLiteBucket.init_from_file(rates, table=TABLE, db_path=str(path), use_file_lock=True)
        except sqlite3.OperationalError:
            raise  # locked, full or read-only: the file itself may be sound
        except sqlite3.DatabaseError:
            # A minute of memory is all that a damaged file held. It is kept beside, for whoever wants to know.
            path.replace(path.with_suffix(".damaged"))
            return SQLiteBucket.init_from_file(rates, table=TABLE, db_path=str(path), use_file_lock=True)

    @contextmanager
    def _usable(self) -> Iterator[None]:
        """Say what is the matter where the file cannot be used."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise BudgetUnusable(
                f"the call budget {self._path} cannot be used ({error}); "
                + (advice_for(error) or "move it away, or make its folder writable")
            ) from error

    @contextmanager
    def _step(self) -> Iterator[None]:
        """Do several things to the file as one."""
        with self._usable(), self._lock:
            yield

    def _try(self, receipt: str, calls: int) -> float:
        """Take the calls if there is room; returns 0 then, else the seconds until it is worth another try."""
        with self._step():
            now = self._now_ms()
            # A clock that began anew leaves entries in the future; they count from now on instead.
            self._execute(f"UPDATE {TABLE} SET item_timestamp = ? WHERE item_timestamp > ?", now, now)  # noqa: S608 - a constant
            self._settle_for_the_dead(now)
            paused_until = self._execute("SELECT COALESCE(MAX(until_ms), 0) FROM pause")[0][0]
            if 0 < paused_until - now <= MAX_PAUSE_SECONDS * 1000:
                return float(paused_until - now) / 1000
            self._bucket.leak(now)
            if (wait_ms := self._eased_wait(calls, now)) > 0:
                return wait_ms / 1000
            item = RateItem(receipt, now, weight=calls)
            if self._bucket.put(item):
                return 0.0
            return max(float(self._bucket.waiting(item)), 1.0) / 1000  # type: ignore[arg-type]

    def _settle(self, receipt: str, now: int) -> None:
        sql = f"UPDATE {TABLE} SET item_timestamp = ?, name = ? WHERE name = ?"  # noqa: S608 - a constant
        self._execute(sql, now, SETTLED, receipt)

    def _settle_for_the_dead(self, now: int) -> None:
        """Count calls from now on whose process was killed with a request on its way: it has arrived by now."""
        for (receipt,) in self._execute(f"SELECT DISTINCT name FROM {TABLE} WHERE name <> ?", SETTLED):  # noqa: S608 - a constant
            pid = receipt.partition(":")[0]
            if not (pid.isdigit() and pid_exists(int(pid))):
                self._settle(receipt, now)

    def _spent(self, now: int) -> int:
        rows = self._execute(f"SELECT COUNT(*) FROM {TABLE} WHERE item_timestamp >= ?", now - MINUTE_MS)  # noqa: S608 - a constant
        return int(rows[0][0])

    def _share(self, now: int) -> float:
        rows = self._execute("SELECT share, at_ms FROM easing")
        if not rows:
            return 1.0
        share, since = rows[0]
        minutes = (now - since) / MINUTE_MS
        # A clock that began anew would keep the share low for as long; it counts as recovered instead.
        return 1.0 if minutes < -MAX_PAUSE_SECONDS / 60 else min(share + RECOVERED_A_MINUTE * max(minutes, 0.0), 1.0)

    def _eased_wait(self, calls: int, now: int) -> int:
        """Return the milliseconds until `calls` fit the share of the limit that is used at present."""
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
