"""The database in PostgreSQL, for several machines. Import this module only where there is one."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Final, TypeVar

import psycopg2
import sqlalchemy as sa
from psycopg2.extras import execute_values
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from quant_assets.common.database_server import DatabaseServer
from quant_assets.storage.database import (
    LOCK_TIMEOUT_SECONDS,
    NO_TABLES,
    DatabaseError,
    disposed_after_an_error,
    revision_of,
    upgrade_tables,
)
from quant_assets.storage.schema import REVISION

#: The schema of all tables, so that the database can also have those of others, such as Dagster's.
SCHEMA_NAME: Final = "quant_assets"
CONNECT_TIMEOUT_SECONDS: Final = 10
#: How long a restart of the server is waited for.
RESTART_SECONDS: Final = 30.0
RETRY_SECONDS: Final = 0.5
#: The first number of the advisory locks; the second is the name's.
LOCKS: Final = 0x71756173 >> 1
#: Rows of one statement.
PAGE_ROWS: Final = 1_000

#: The addresses of servers that this process has reached.
_REACHED: Final[set[str]] = set()

Result = TypeVar("Result")


class PostgresqlDatabase:
    """The tables in a PostgreSQL database, with the methods of `Database`.

    A writer creates schema and tables, and upgrades an older schema in one transaction, for which others wait. With
    `read_only` nothing is created or upgraded. The time of what ends by itself is the server's. All methods raise
    DatabaseError, whose message has no password. A server that this process has reached before is waited for while it
    restarts; one that it has never reached is an error at once.
    """

    def __init__(
        self,
        server: DatabaseServer,
        tables: sa.MetaData = NO_TABLES,
        *,
        read_only: bool = False,
        lock_timeout_seconds: float = LOCK_TIMEOUT_SECONDS,
    ) -> None:
        self._server = server
        self._tables = tables
        with self._translated_errors():
            self._engine = _engine(server, lock_timeout_seconds)
            with disposed_after_an_error(self._engine):
                self.is_empty = self._prepare(read_only)

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Yield a connection in a transaction that excludes other writers, and is undone after an exception.

        Writers of different parts do not exclude each other.
        """
        with self._translated_errors(), self._connected() as connection, connection.begin():
            _lock(connection, f"write {self._server.part}")
            yield connection

    def read(self, query: Callable[[sa.Connection], Result]) -> Result:
        """Return the result of a query in a transaction of its own, which sees one state."""
        with self._translated_errors(), self._connected() as connection:
            connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                return query(connection)

    def replace_rows(self, connection: sa.Connection, table: sa.Table, rows: Iterable[tuple[object, ...]]) -> None:
        """Insert rows, which have the values of all columns in order, in place of those with the same key."""
        self._insert(connection, table, rows, replace=True)

    def add_rows(self, connection: sa.Connection, table: sa.Table, rows: Iterable[tuple[object, ...]]) -> None:
        """Insert rows, which have the values of all columns in order, unless there are some with the same key."""
        self._insert(connection, table, rows, replace=False)

    def _insert(
        self, connection: sa.Connection, table: sa.Table, rows: Iterable[tuple[object, ...]], *, replace: bool
    ) -> None:
        names = [column.name for column in table.columns]
        keys = [position for position, column in enumerate(table.columns) if column.primary_key]
        # PostgreSQL refuses two rows with the same key in one statement.
        newest = {tuple(row[position] for position in keys): row for row in rows}
        if not newest:
            return
        quote = connection.dialect.identifier_preparer.quote
        columns, key = ", ".join(map(quote, names)), ", ".join(quote(names[position]) for position in keys)
        changes = ", ".join(
            f"{quote(name)} = excluded.{quote(name)}" for at, name in enumerate(names) if at not in keys
        )
        action = f"UPDATE SET {changes}" if changes and replace else "NOTHING"
        statement = (
            f"INSERT INTO {quote(table.name)} ({columns}) VALUES %s"  # noqa: S608 - names of the schema
            f" ON CONFLICT ({key}) DO {action}"
        )
        with closing(connection.connection.cursor()) as cursor:
            execute_values(cursor, statement, list(newest.values()), page_size=PAGE_ROWS)

    def now_ms(self, connection: sa.Connection, _local_ms: int) -> int:
        """Return the server's time in epoch milliseconds, in place of the machine's."""
        return server_now_ms(connection)

    def compact(self) -> None:
        """Do nothing: the server does."""

    def _prepare(self, read_only: bool) -> bool:
        """Create or upgrade the tables unless `read_only`; return whether there are none."""
        with self._connected() as connection, connection.begin():
            revision = revision_of(connection, _table_names(connection))
            if self._is_ready(connection):
                return False
        if read_only:
            if revision is None:
                return True
            raise DatabaseError("has tables of an earlier version, which the next scan or fetch upgrades")
        with self._connected() as connection, connection.begin():
            _lock(connection, "upgrade")
            connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA_NAME}")
            if not self._is_ready(connection):  # another process may have done it meanwhile
                upgrade_tables(connection, self._tables, _table_names(connection))
        return False

    def _is_ready(self, connection: sa.Connection) -> bool:
        tables = _table_names(connection)
        return revision_of(connection, tables) == REVISION and tables.issuperset(self._tables.tables)

    @contextmanager
    def _connected(self) -> Iterator[sa.Connection]:
        """Yield a connection; wait for a server that restarts, if this process has reached it before."""
        deadline = time.monotonic() + (RESTART_SECONDS if self._server.url in _REACHED else 0.0)
        while True:
            try:
                connection = self._engine.connect()
                break
            except DBAPIError as error:
                if not isinstance(error.orig, psycopg2.OperationalError) or time.monotonic() >= deadline:
                    raise
                time.sleep(RETRY_SECONDS)
        _REACHED.add(self._server.url)
        with connection:
            yield connection

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        """Raise DatabaseError for an error of the driver: its first line, without statement and password."""
        try:
            yield
        except DBAPIError as error:
            raise DatabaseError(self._first_line(error.orig or error)) from None
        except SQLAlchemyError as error:
            raise DatabaseError(self._first_line(error)) from None
        except psycopg2.Error as error:
            raise DatabaseError(self._first_line(error)) from None

    def _first_line(self, error: BaseException) -> str:
        line = str(error).strip().partition("\n")[0]
        return line.replace(self._server.password, "…") if self._server.password else line


def server_now_ms(connection: sa.Connection) -> int:
    """Return the server's time in epoch milliseconds."""
    found = connection.exec_driver_sql("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")
    return int(found.scalar_one())


def _engine(server: DatabaseServer, lock_timeout_seconds: float) -> sa.Engine:
    return sa.create_engine(
        sa.make_url(server.url).set(drivername="postgresql+psycopg2"),
        connect_args={
            "options": f"-c search_path={SCHEMA_NAME} -c lock_timeout={max(int(lock_timeout_seconds * 1000), 1)}",
            "connect_timeout": CONNECT_TIMEOUT_SECONDS,
            "application_name": SCHEMA_NAME,
            # A machine that vanished is noticed after half a minute, not after two hours.
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 4,
            "tcp_user_timeout": 30_000,
        },
        pool_size=1,
        max_overflow=-1,
        pool_pre_ping=True,
        hide_parameters=True,
    )


def _lock(connection: sa.Connection, name: str) -> None:
    """Wait for a lock of this name until the end of the transaction."""
    number = zlib.crc32(name.encode()) - 2**31
    connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s, %s)", (LOCKS, number))


def _table_names(connection: sa.Connection) -> set[str]:
    return set(sa.inspect(connection).get_table_names(schema=SCHEMA_NAME))
