"""What is particular to SQLite: opening a file to write or only to read it, and its errors."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from sqlalchemy.pool import QueuePool, StaticPool

from quant_assets.common.file_identity import FileIdentity
from quant_assets.common.files import SQLITE_PRIMARY_CODE_MASK

#: The `user_version` of a file. A program of before the version table refuses any number but its own, which was 1.
FILE_VERSION: Final = 2
LOCKED_RETRY_SECONDS: Final = 0.05


def writing_engine(path: Path, lock_timeout_seconds: float) -> sa.Engine:
    """Return an engine of a file, which is created if it is missing."""

    def connect() -> sqlite3.Connection:
        connection = _connect(path, lock_timeout_seconds)
        _use_write_ahead_log(connection, time.monotonic() + lock_timeout_seconds)
        return connection

    return _engine(connect, QueuePool, pool_size=1, max_overflow=-1)


def reading_engine(path: Path, lock_timeout_seconds: float, *, immutable: bool) -> sa.Engine:
    """Return an engine that creates and changes no file. `immutable` ignores a write-ahead log and all locks."""
    uri = f"{path.absolute().as_uri()}?mode=ro" + ("&immutable=1" if immutable else "")
    return _engine(lambda: _connect(uri, lock_timeout_seconds), QueuePool, pool_size=1, max_overflow=-1)


def memory_engine(source: sa.Engine | None = None) -> sa.Engine:
    """Return an engine of a database in memory: an empty one, or a copy of another."""
    memory = _connect(":memory:", 0.0)
    if source is not None:
        with closing(source.raw_connection()) as connection:
            connection.driver_connection.backup(memory)  # type: ignore[union-attr]
    return _engine(lambda: memory, StaticPool)


def has_no_log(path: Path) -> bool:
    """Return whether the file has no write-ahead log, or an empty one.

    SQLite creates a log beside a database that it reads, unless the database is opened as immutable.
    """
    log = FileIdentity.at(path.with_name(f"{path.name}-wal"))
    return log is None or log.size == 0


def file_version(connection: sa.Connection) -> int:
    """Return the file's `user_version`, 0 for a new file."""
    return int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())


def set_file_version(connection: sa.Connection) -> None:
    """Set the file's `user_version` to the newest."""
    connection.exec_driver_sql(f"PRAGMA user_version = {FILE_VERSION}")


def compact(engine: sa.Engine) -> None:
    """Compact the file if a quarter of its pages are free."""
    with closing(engine.raw_connection()) as connection, closing(connection.cursor()) as cursor:
        pages, free = (cursor.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count"))
        if free * 4 > pages:
            cursor.execute("VACUUM")


def is_damage(error: BaseException) -> bool:
    """Return whether an error of SQLite says that the file is damaged, or no database at all."""
    code = getattr(error, "sqlite_errorcode", 0) & SQLITE_PRIMARY_CODE_MASK
    return code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def _engine(connect: Callable[[], sqlite3.Connection], pool: type[sa.Pool], **options: int) -> sa.Engine:
    engine = sa.create_engine("sqlite://", creator=connect, poolclass=pool, **options)
    sa.event.listen(engine, "begin", _begin)
    return engine


def _begin(connection: sa.Connection) -> None:
    """Begin a transaction: the driver would begin one only at the first write."""
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _connect(database: Path | str, lock_timeout_seconds: float) -> sqlite3.Connection:
    return sqlite3.connect(
        database,
        timeout=lock_timeout_seconds,
        isolation_level=None,  # transactions are begun by `_begin`
        check_same_thread=False,  # the pool gives a connection to one thread at a time
        uri=isinstance(database, str),
    )


def _use_write_ahead_log(connection: sqlite3.Connection, deadline: float) -> None:
    """Use a write-ahead log, with which readers and a writer do not wait for each other.

    SQLite does not wait for a lock here. Another process that opens the new file at the same time holds one briefly.
    """
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                connection.close()
                raise
            time.sleep(LOCKED_RETRY_SECONDS)
        except sqlite3.Error:
            connection.close()
            raise
        else:
            connection.execute("PRAGMA synchronous = NORMAL")
            return
