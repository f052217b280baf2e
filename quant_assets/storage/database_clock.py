"""The clock of all machines that share a database: the database's."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import cached_property
from typing import Final

from quant_assets.common.clock import SYSTEM, Clock
from quant_assets.common.database_server import DatabaseServer
from quant_assets.common.settings import Settings

#: How often the database is asked for its time; the fastest answer counts.
CLOCK_QUERIES: Final = 3


class DatabaseTime:
    """The time of a database, by one offset from this machine's monotonic clock, which is measured at the first use.

    Nobody can set the monotonic clock, so that the time goes on evenly whatever happens to the machine's own. The
    offset is wrong by at most half of the time that the fastest answer took. Raises DatabaseError at the first use.
    """

    def __init__(self, server: DatabaseServer) -> None:
        self._server = server

    def __call__(self) -> float:
        """Return UNIX seconds."""
        return time.monotonic() + self._offset

    @cached_property
    def _offset(self) -> float:
        from quant_assets.storage.postgresql import PostgresqlDatabase  # noqa: PLC0415 - only where there is one

        database = PostgresqlDatabase(self._server, read_only=True)
        try:
            answers = []
            for _ in range(CLOCK_QUERIES):
                asked_at = time.monotonic()
                now_ms = database.read(lambda connection: database.now_ms(connection, 0))
                answered_at = time.monotonic()
                answers.append((answered_at - asked_at, now_ms / 1000 - (asked_at + answered_at) / 2))
            return min(answers)[1]
        finally:
            database.close()


def clock_of(settings: Settings) -> Clock:
    """Return the clock that windows, ages and times in documents go by: the database's if there is one."""
    return SYSTEM if settings.database is None else replace(SYSTEM, seconds=DatabaseTime(settings.database))
