"""Opening a database: a SQLite file, or PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import sqlalchemy as sa

from quant_assets.common.database_server import DatabaseServer
from quant_assets.storage.database import LOCK_TIMEOUT_SECONDS, NO_FILE, NO_TABLES, Database, DatabaseError

if TYPE_CHECKING:
    from quant_assets.storage.postgresql import PostgresqlDatabase

    AnyDatabase: TypeAlias = "Database | PostgresqlDatabase"


def open_database(
    place: Path | DatabaseServer,
    tables: sa.MetaData = NO_TABLES,
    *,
    read_only: bool = False,
    lock_timeout_seconds: float = LOCK_TIMEOUT_SECONDS,
) -> AnyDatabase:
    """Open a file, which is created in its folder if it is missing, or the database of a server.

    With `read_only` a missing file, and a database without tables, read as empty ones. Raise DatabaseError.
    """
    if isinstance(place, Path):
        if not read_only:
            place.parent.mkdir(parents=True, exist_ok=True)
        return Database(place, tables, read_only=read_only, lock_timeout_seconds=lock_timeout_seconds)
    try:
        from quant_assets.storage.postgresql import PostgresqlDatabase  # noqa: PLC0415 - only where there is one
    except ModuleNotFoundError as error:
        raise DatabaseError(f"needs {error.name}: install quant-assets[postgres]") from None
    database = PostgresqlDatabase(place, tables, read_only=read_only, lock_timeout_seconds=lock_timeout_seconds)
    if read_only and database.is_empty:
        database.close()
        return Database(NO_FILE, tables, read_only=True)
    return database
