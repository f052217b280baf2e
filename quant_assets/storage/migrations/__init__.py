"""Upgrades of an older database, by Alembic.

Import this module only when a database has to be upgraded: Alembic takes half a second to import.
"""

from __future__ import annotations

from pathlib import Path
from threading import Lock

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

#: Alembic has one context for the whole process.
_ONE_AT_A_TIME = Lock()


def upgrade(connection: Connection) -> None:
    """Upgrade a database, which has a version table, to the newest revision within the connection's transaction."""
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    with _ONE_AT_A_TIME:
        command.upgrade(config, "head")
