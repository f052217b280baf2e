"""The origins of the data: one for each source. Data of two origins of a source are never mixed.

The first accepted market list of a source records its origin: in `origins.json` of the data folder, or in the database
if there is a server. A data folder of version 0.1 has no such file; its origin is the provider of its market list, or
of the only store into which something was fetched.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import orjson

from quant_assets.common.database_server import CHECK_SERVER, DatabaseServer
from quant_assets.common.files import replace_file
from quant_assets.common.settings import LOOPBACK_ORIGIN, VARIABLES, Settings
from quant_assets.storage.lake import Lake

FILE_NAME: Final = "origins.json"
COINALYZE: Final = "coinalyze"
#: Table of a store → a query that returns a row if something was fetched. `asked` is the table of version 0.1.
_FETCHED: Final = {
    "asked": "SELECT 1 FROM asked LIMIT 1",
    "fetched_ranges": "SELECT 1 FROM fetched_ranges LIMIT 1",
}


class OriginError(ValueError):
    """The environment and the data folder or database name different origins, or what is recorded cannot be read.

    The message says what to change.
    """


def settings_for_data_folder(settings: Settings, environment: Mapping[str, str], *, fetches: bool) -> Settings:
    """Return the settings with the origin that their data folder records.

    Raises OriginError if COINALYZE_BASE_URL is set to another origin. With `fetches`, also raises it if an API key is
    set that belongs to another origin.
    """
    recorded = recorded_origin(settings)
    if recorded is None or recorded == settings.provider:
        return settings
    held = f"{_holder(settings)} holds data of {_describe(recorded)}"
    variable = VARIABLES["base_url"]
    if "base_url" in settings.model_fields_set:
        raise OriginError(
            f"{held}, but {variable} names {_describe(settings.provider)}: "
            f"unset {variable}, or choose another folder with QUANT_DATA_DIR"
        )
    if fetches and settings.has_key(environment):
        raise OriginError(
            f"{held}, but {settings.key_variable} is a key for {_describe(settings.provider)}: "
            f"choose another folder with QUANT_DATA_DIR, or name the address of that origin in {variable}"
        )
    return settings.model_copy(update={"origin": recorded})


def recorded_origin(settings: Settings) -> str | None:
    """Return the origin that a data folder records; None if nothing was fetched into it."""
    return recorded_origins(settings).get(COINALYZE) or _origin_of_version_0_1(settings)


def foreign_origin(settings: Settings, source: str, origin: str, variable: str = "") -> str:
    """Return why data that a source fetches from this origin must not be written into the data folder; "" if they may.

    `variable` is the environment variable with the source's address. Coinalyze's origin is compared by
    `settings_for_data_folder`.
    """
    recorded = None if source == COINALYZE else recorded_origins(settings).get(source)
    if recorded is None or recorded == origin:
        return ""
    place = f" in {variable}" if variable else ""
    return (
        f"{_holder(settings)} holds data of {source} from {_place(recorded)}, not from {_place(origin)}: "
        f"choose another folder with QUANT_DATA_DIR, or change the address of {source}{place}"
    )


def record_origin(settings: Settings, source: str, origin: str) -> None:
    """Record the origin of a source's data, unless it is recorded already. Raises OriginError."""
    if source in recorded_origins(settings):
        return
    if settings.database is None:
        from quant_assets.storage.locks import exclusive  # noqa: PLC0415 - only where something was fetched

        with exclusive(settings.data_dir, "origins"):  # else one of two sources that are recorded at once would be lost
            recorded = recorded_origins(settings)
            if source not in recorded:
                replace_file(settings.data_dir / FILE_NAME, orjson.dumps({**recorded, source: origin}) + b"\n")
        return
    from quant_assets.storage.shared_origins import record_shared_origin  # noqa: PLC0415 - only with a database

    with _translated_errors(settings.database):
        record_shared_origin(settings.database, source, origin)


def recorded_origins(settings: Settings) -> dict[str, str]:
    """Return source → its recorded origin. Raises OriginError."""
    if settings.database is None:
        return _read(settings.data_dir) or {}
    from quant_assets.storage.shared_origins import shared_origins  # noqa: PLC0415 - only with a database

    with _translated_errors(settings.database):
        return shared_origins(settings.database)


@contextmanager
def _translated_errors(server: DatabaseServer) -> Iterator[None]:
    from quant_assets.storage.database import DatabaseError  # noqa: PLC0415 - only with a database

    try:
        yield
    except DatabaseError as error:
        raise OriginError(f"the database {server} cannot be used ({error}); {CHECK_SERVER}") from None


def _holder(settings: Settings) -> str:
    return str(settings.database or settings.data_dir)


def _read(data_dir: Path) -> dict[str, str] | None:
    """Return source → its recorded origin, None without a file. Raise OriginError."""
    path = data_dir / FILE_NAME
    try:
        recorded = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, orjson.JSONDecodeError) as error:
        raise OriginError(f"{path} cannot be read ({error}); delete it, and the next fetch writes it again") from None
    if not isinstance(recorded, dict) or not all(isinstance(origin, str) for origin in recorded.values()):
        raise OriginError(f'{path} does not name an origin like {{"{COINALYZE}": "api.coinalyze.net"}}; delete it')
    return recorded


def _origin_of_version_0_1(settings: Settings) -> str | None:
    if settings.database is not None:
        return None
    table = Lake(settings.lake_place).read_undamaged(["coinalyze_markets"])
    if table is not None and "provider" in table and len(table):
        return str(table["provider"].iloc[0])
    stores = [path for path in settings.data_dir.glob("store/*/derivatives.sqlite") if _has_fetched(path)]
    return stores[0].parent.name if len(stores) == 1 else None


def _has_fetched(store: Path) -> bool:
    """Tell whether something was fetched into a store, or it cannot be read."""
    try:
        with closing(sqlite3.connect(f"{store.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            queries = [query for table, query in _FETCHED.items() if table in tables]
            return any(connection.execute(query).fetchone() for query in queries)
    except sqlite3.Error:
        return True


def _place(origin: str) -> str:
    return "a server on this machine" if origin == LOOPBACK_ORIGIN else origin


def _describe(origin: str) -> str:
    return "a local Coinalyze (127.0.0.1)" if origin == LOOPBACK_ORIGIN else origin


def environment_settings(*, fetches: bool) -> tuple[Settings, str]:
    """Return the settings of the environment for Dagster, and the message of an OriginError or "".

    A code location must load in any case, so its runs fail with the message instead.
    """
    settings = Settings.from_environment(os.environ)
    try:
        return settings_for_data_folder(settings, os.environ, fetches=fetches), ""
    except OriginError as error:
        return settings, str(error)
