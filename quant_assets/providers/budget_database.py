"""Opening the database of a call budget; a damaged file is replaced by a new one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from filelock import FileLock

from quant_assets.common.database_server import DatabaseServer
from quant_assets.storage.database import DamagedDatabase, DatabaseError
from quant_assets.storage.opening import open_database
from quant_assets.storage.schema import call_leases, call_throttle

if TYPE_CHECKING:
    from quant_assets.storage.opening import AnyDatabase


def open_budget_database(place: Path | DatabaseServer) -> AnyDatabase:
    """Open the database. A damaged file held only the calls of a minute; it is kept under another name."""
    if not isinstance(place, Path):
        return open_database(place)
    try:
        return _open_undamaged(place)
    except DamagedDatabase:
        # Of two processes that find a damaged file, the second must not move the first's new one.
        with FileLock(f"{place}.lock"):
            try:
                return _open_undamaged(place)
            except DamagedDatabase:
                place.replace(place.with_suffix(".damaged"))
                for suffix in ("-wal", "-shm"):
                    place.with_name(place.name + suffix).unlink(missing_ok=True)
                return _open_undamaged(place)


def _open_undamaged(path: Path) -> AnyDatabase:
    database = open_database(path)
    try:
        database.read(_read_all)
    except DatabaseError:
        database.close()
        raise
    return database


def _read_all(connection: sa.Connection) -> None:
    """Read the tables, which finds damage."""
    connection.execute(sa.select(call_leases)).all()
    connection.execute(sa.select(call_throttle)).all()
