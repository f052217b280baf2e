"""The origins of data that several machines share, in their database."""

from __future__ import annotations

from contextlib import closing

import sqlalchemy as sa

from quant_assets.common.database_server import DatabaseServer
from quant_assets.storage.opening import open_database
from quant_assets.storage.schema import origins


def shared_origins(server: DatabaseServer) -> dict[str, str]:
    """Return source → its recorded origin. Raises DatabaseError."""
    with closing(open_database(server, read_only=True)) as database:
        return database.read(_rows)


def record_shared_origin(server: DatabaseServer, source: str, origin: str) -> None:
    """Record the origin of a source's data, unless it is recorded already. Raises DatabaseError."""
    with closing(open_database(server)) as database, database.write() as connection:
        if source not in _rows(connection):
            database.replace_rows(connection, origins, [(source, origin)])


def _rows(connection: sa.Connection) -> dict[str, str]:
    return {row.source: row.origin for row in connection.execute(sa.select(origins))}
