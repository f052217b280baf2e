"""The database: opened, upgraded by a writer where it is older, and read without being changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite as dialect
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from quant_assets.common.file_identity import FileIdentity
from quant_assets.storage import sqlite
from quant_assets.storage.schema import FIRST_REVISION, FIRST_TABLES, REVISION, SCHEMA, version_table

LOCK_TIMEOUT_SECONDS: Final = 60.0
NO_TABLES: Final = sa.MetaData()
#: The path of no file, which reads as an empty database.
NO_FILE: Final = Path("/nonexistent/database.sqlite")

Result = TypeVar("Result")


class DatabaseError(RuntimeError):
    """The database cannot be used; the message says why, without the file's name."""


class DamagedDatabase(DatabaseError):
    """The file is damaged, or no database."""


class NewerDatabase(DatabaseError):
    """The database was written by a newer version of this program."""


class Database:
    """The SQLite file at `path`, with the tables of the newest schema and those of `tables`.

    A writer creates the file and missing tables, and upgrades an older schema in one transaction, for which other
    processes wait. With `read_only` no file is created or changed, and the folder need not be writable. A missing file
    reads as an empty database, and an older one as if it were upgraded. All methods raise DatabaseError.
    """

    def __init__(
        self,
        path: Path,
        tables: sa.MetaData = NO_TABLES,
        *,
        read_only: bool = False,
        lock_timeout_seconds: float = LOCK_TIMEOUT_SECONDS,
    ) -> None:
        self.path = path
        self._tables = tables
        self._read_only = read_only
        self._lock_timeout_seconds = lock_timeout_seconds
        self._replacing: dict[str, str] = {}
        #: Whether changes of the file are not seen, so that it must be opened again after one.
        self._is_snapshot = False
        self._identity: FileIdentity | None = None
        with _translated_errors():
            if read_only:
                self._engine = self._open_to_read()
            else:
                self._engine = sqlite.writing_engine(path, lock_timeout_seconds)
                with disposed_after_an_error(self._engine):
                    self._prepare()

    def close(self) -> None:
        """Close the file."""
        self._engine.dispose()

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Yield a connection in a transaction that excludes other writers, and is undone after an exception."""
        with _translated_errors(), self._engine.execution_options(writes=True).begin() as connection:
            yield connection

    def read(self, query: Callable[[sa.Connection], Result]) -> Result:
        """Return the result of a query in a transaction of its own.

        The query is repeated if another process has changed a file of which this is a snapshot.
        """
        while True:
            try:
                with _translated_errors(), self._engine.begin() as connection:
                    result = query(connection)
            except DatabaseError:
                if not self._has_changed():
                    raise
            else:
                if not self._has_changed():
                    return result
            self._engine.dispose()
            with _translated_errors():
                self._engine = self._open_to_read()

    def replace_rows(self, connection: sa.Connection, table: sa.Table, rows: Iterable[tuple[object, ...]]) -> None:
        """Insert rows, which have the values of all columns in order, in place of those with the same key.

        Rows go to the driver as they are: SQLAlchemy's dictionaries would take twice as long for thousands of bars.
        """
        if table.name not in self._replacing:
            insert = dialect.insert(table)
            values = {column.name: insert.excluded[column.name] for column in table.columns if not column.primary_key}
            keys = table.primary_key.columns
            statement = insert.on_conflict_do_update(keys, set_=values) if values else insert.on_conflict_do_nothing()
            self._replacing[table.name] = str(statement.compile(dialect=connection.dialect))
        if found := list(rows):
            connection.exec_driver_sql(self._replacing[table.name], found)

    def add_rows(self, connection: sa.Connection, table: sa.Table, rows: Iterable[tuple[object, ...]]) -> None:
        """Insert rows, which have the values of all columns in order, unless there are some with the same key."""
        if found := list(rows):
            statement = dialect.insert(table).on_conflict_do_nothing()
            connection.exec_driver_sql(str(statement.compile(dialect=connection.dialect)), found)

    def now_ms(self, _connection: sa.Connection, local_ms: int) -> int:
        """Return the time of what ends by itself, in milliseconds: of a file, that of the machine's monotonic clock."""
        return local_ms

    def compact(self) -> None:
        """Give the space of deleted rows back to the disk, once it is a quarter of the file."""
        with _translated_errors():
            sqlite.compact(self._engine)

    def _prepare(self) -> None:
        """Create or upgrade tables. Nothing is written if all are there, so that a file opens on a full disk."""
        with self._engine.begin() as connection:
            if self._is_ready(connection):
                return
        with self._engine.execution_options(writes=True).begin() as connection:
            if not self._is_ready(connection):  # another process may have done it meanwhile
                upgrade_tables(connection, self._tables, _table_names(connection))

    def _is_ready(self, connection: sa.Connection) -> bool:
        tables = _table_names(connection)
        return revision_of(connection, tables) == REVISION and tables.issuperset(self._tables.tables)

    def _open_to_read(self) -> sa.Engine:
        self._is_snapshot, self._identity = True, FileIdentity.at(self.path)
        if self._identity is None:
            engine = sqlite.memory_engine()
        else:
            self._is_snapshot = sqlite.has_no_log(self.path)
            engine = sqlite.reading_engine(self.path, self._lock_timeout_seconds, immutable=self._is_snapshot)
            with disposed_after_an_error(engine):
                with engine.begin() as connection:
                    if self._is_ready(connection):
                        return engine
                self._is_snapshot, source = True, engine
                engine = sqlite.memory_engine(source)
                source.dispose()
        with engine.begin() as connection:
            upgrade_tables(connection, self._tables, _table_names(connection))
        return engine

    def _has_changed(self) -> bool:
        return self._read_only and self._is_snapshot and FileIdentity.at(self.path) != self._identity


def _table_names(connection: sa.Connection) -> set[str]:
    return set(sa.inspect(connection).get_table_names())


def revision_of(connection: sa.Connection, tables: set[str]) -> str | None:
    """Return the revision of the schema, None for a new database. Raise NewerDatabase."""
    revision = None
    if version_table.name in tables:
        revision = connection.scalar(sa.select(version_table.c.version_num))
    elif FIRST_TABLES & tables:
        revision = FIRST_REVISION
    file_version = sqlite.file_version(connection) if connection.dialect.name == "sqlite" else 0
    if file_version > sqlite.FILE_VERSION or (revision or "") > REVISION:
        version = max(revision or "", str(file_version))
        raise NewerDatabase(f"is of version {version}, newer than this program supports; update the program")
    return revision


def upgrade_tables(connection: sa.Connection, tables: sa.MetaData, found: set[str]) -> None:
    """Create what is missing, and upgrade an older schema, within the transaction of the connection.

    `found` are the names of the tables that there are.
    """
    revision = revision_of(connection, found)
    if revision is None:
        SCHEMA.create_all(connection)
        connection.execute(version_table.insert().values(version_num=REVISION))
    elif revision != REVISION:
        if version_table.name not in found:
            version_table.create(connection)
            connection.execute(version_table.insert().values(version_num=revision))
        from quant_assets.storage.migrations import upgrade  # noqa: PLC0415 - slow, and rarely needed

        upgrade(connection)
    tables.create_all(connection)
    if connection.dialect.name == "sqlite":
        sqlite.set_file_version(connection)


@contextmanager
def disposed_after_an_error(engine: sa.Engine) -> Iterator[None]:
    """Dispose of an engine if the block fails."""
    try:
        yield
    except BaseException:
        engine.dispose()
        raise


@contextmanager
def _translated_errors() -> Iterator[None]:
    """Raise DatabaseError for an error of the driver, without the statement that SQLAlchemy adds."""
    try:
        yield
    except DBAPIError as error:
        kind = DamagedDatabase if sqlite.is_damage(error.orig or error) else DatabaseError
        raise kind(str(error.orig)) from error.orig
    except SQLAlchemyError as error:
        raise DatabaseError(str(error)) from error
