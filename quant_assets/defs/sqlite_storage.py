"""Dagster's records in SQLite, through connections that stay open.

Dagster opens a database, compiles its statements and closes it again for every event, and a scan leaves some 160
events. Kept open, the same statements on the same files take less than half of the time. What is recorded, and
how, is Dagster's own, so its storage can take over the files at any time: leave `storage` out of dagster.yaml.
"""

from __future__ import annotations

import os
import sqlite3
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Self

import sqlalchemy
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorageWatchdog
from dagster._core.storage.runs import SqliteRunStorage
from dagster._core.storage.schedules import SqliteScheduleStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData
from watchdog.events import FileSystemEvent
from watchdog.observers import Observer

#: Databases of the event log that are kept open: the index, and those of the runs that were used last.
MAX_OPEN: Final = 4


def _engine(address: str) -> sqlalchemy.Engine:
    """Return an engine that keeps a connection, for one thread after another."""
    settings = {"timeout": SQLITE_BUSY_TIMEOUT_SECONDS, "check_same_thread": False}
    engine = sqlalchemy.create_engine(
        address, poolclass=sqlalchemy.QueuePool, pool_size=1, max_overflow=-1, connect_args=settings
    )
    sqlalchemy.event.listen(engine, "connect", _wait_for_the_disk_less)
    return engine


def _wait_for_the_disk_less(connection: sqlite3.Connection, _: object) -> None:
    """Wait for the disk at a checkpoint of the log, and not at each of some 400 commits of a scan.

    A process that dies loses nothing; a machine that loses its power may lose the last records, and never a whole
    database, as they are written ahead (WAL).
    """
    connection.execute("PRAGMA synchronous=NORMAL")


def _file_at(path: str) -> int:
    """Return what tells a database's file from another of its name, 0 where there is none."""
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return 0


class _Watchdog(SqliteEventLogStorageWatchdog):
    """Notices what is written ahead, too: what stays open is put into the database itself only now and then."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._patterns = [self._log_path, f"{self._log_path}-wal"]

    def on_modified(self, _: FileSystemEvent) -> None:
        self._process_log()


class KeptEventLog(SqliteEventLogStorage):
    """The event log: one database for each run, and the index of all."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines: OrderedDict[str, tuple[sqlalchemy.Engine, int]] = OrderedDict()
        self._obs: Any
        super().__init__(base_dir, inst_data)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[sqlalchemy.Connection]:
        with self._db_lock, self._engine_of(shard).begin() as connection:
            yield connection

    def _engine_of(self, shard: str) -> sqlalchemy.Engine:
        """Return the engine of a database, made where it is missing; the lock is held."""
        file = _file_at(self.path_for_shard(shard))
        if not file:
            self._initialized_dbs.discard(shard)
        if shard in self._engines and self._engines[shard][1] != file:  # removed with its run
            self._let_go(shard)
        if shard not in self._engines:
            engine = _engine(self.conn_string_for_shard(shard))
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            self._engines[shard] = engine, _file_at(self.path_for_shard(shard))
        self._engines.move_to_end(shard)
        while len(self._engines) > MAX_OPEN:
            self._let_go(next(iter(self._engines)))
        return self._engines[shard][0]

    def _let_go(self, shard: str) -> None:
        self._engines.pop(shard)[0].dispose()

    def watch(self, run_id: str, cursor: str | None, callback: Any) -> None:
        """Call back for each event of a run that any process stores, from now on."""
        if not self._obs:
            self._obs = Observer()
            self._obs.start()
        watchdog = _Watchdog(self, run_id, callback, cursor)
        watched = self._obs.schedule(watchdog, self._base_dir, recursive=True)
        self._watchers[run_id][callback] = (watchdog, watched)

    def dispose(self) -> None:
        """Close everything."""
        super().dispose()
        with self._db_lock:
            while self._engines:
                self._let_go(next(iter(self._engines)))


class KeptRuns(SqliteRunStorage):
    """The runs: one database."""

    def __init__(self, conn_string: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._kept = _engine(conn_string)
        self._file = 0
        super().__init__(conn_string, inst_data)

    @contextmanager
    def connect(self) -> Iterator[sqlalchemy.Connection]:
        """Give a connection in a transaction, to the file that lies there now."""
        file = _file_at(str(self._kept.url.database))
        if file != self._file:  # removed and made anew, with its whole folder
            self._kept.dispose()
            self._file = file
        with self._kept.begin() as connection:
            yield connection

    def dispose(self) -> None:
        """Close it."""
        super().dispose()
        self._kept.dispose()


class KeptSqliteStorage(DagsterSqliteStorage):
    """All of Dagster's records, in the files and folders in which Dagster itself would keep them."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self.base_dir = base_dir
        history = os.path.join(base_dir, "history", "")
        self._run_storage = KeptRuns.from_local(history)
        self._event_log_storage = KeptEventLog(os.path.join(history, "runs", ""))
        self._schedule_storage = SqliteScheduleStorage.from_local(os.path.join(base_dir, "schedules"))
        self._inst_data = inst_data
        # Not the parent's own, which would open Dagster's storages of these files.
        super(DagsterSqliteStorage, self).__init__()  # type: ignore[no-untyped-call]

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        """Make it as dagster.yaml says."""
        return cls.from_local(inst_data=inst_data, **config_value)
