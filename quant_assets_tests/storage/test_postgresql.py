"""The database in PostgreSQL: creation, upgrade, errors, and that it can be shared."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from multiprocessing.synchronize import Barrier
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import psycopg2
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from quant_assets.common.database_server import DatabaseServer
from quant_assets.common.settings import LOOPBACK_ORIGIN, Settings
from quant_assets.derivatives.store import DerivativesStore, StoreError
from quant_assets.providers.budget import CallBudget
from quant_assets.providers.errors import BudgetUnusable
from quant_assets.storage.database import Database, DatabaseError, NewerDatabase
from quant_assets.storage.opening import open_database
from quant_assets.storage.origins import OriginError, record_origin, recorded_origins
from quant_assets.storage.schema import REVISION, SCHEMA, metadata, version_table
from quant_assets_tests.defs.postgresql import DATABASE_PASSWORD, stopped

if TYPE_CHECKING:
    from quant_assets.storage.opening import AnyDatabase

pytestmark = pytest.mark.slow


@pytest.fixture
def server(database_url: str) -> DatabaseServer:
    return DatabaseServer(database_url)


@pytest.fixture
def driver(database_url: str) -> Iterator[psycopg2.extensions.cursor]:
    """Return a cursor of another program."""
    with closing(psycopg2.connect(database_url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor


def tables_of(cursor: psycopg2.extensions.cursor, schema: str) -> set[str]:
    cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = %s", (schema,))
    return {row[0] for row in cursor.fetchall()}


def test_writer_creates_its_tables_in_a_schema_of_their_own(
    server: DatabaseServer, driver: psycopg2.extensions.cursor
) -> None:
    driver.execute("CREATE TABLE metadata (of_another_program TEXT)")
    driver.execute("CREATE TABLE alembic_version (version_num TEXT)")
    DerivativesStore(server).close()
    assert {*SCHEMA.tables, "open_interest"} <= tables_of(driver, "quant_assets")
    assert tables_of(driver, "public") == {"metadata", "alembic_version"}
    driver.execute(f"SELECT version_num FROM quant_assets.{version_table.name}")
    assert driver.fetchall() == [(REVISION,)]


def test_tables_are_those_of_the_schema(server: DatabaseServer) -> None:
    open_database(server).close()
    engine = sa.create_engine(
        server.url.replace("://", "+psycopg2://"), connect_args={"options": "-c search_path=quant_assets"}
    )
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), SCHEMA) == []
    engine.dispose()


def test_reader_of_a_database_without_tables_sees_none_and_creates_none(
    server: DatabaseServer, driver: psycopg2.extensions.cursor
) -> None:
    with closing(DerivativesStore(server, read_only=True)) as store:
        assert store.known_through("open_interest", ["A"], 0) == {}
        with pytest.raises(StoreError, match="read-only"):
            store.save_report("2026-01-19-16:45", "{}")
    driver.execute("SELECT count(*) FROM pg_namespace WHERE nspname = 'quant_assets'")
    assert driver.fetchall() == [(0,)]


def test_reader_does_not_upgrade_an_older_database(server: DatabaseServer, driver: psycopg2.extensions.cursor) -> None:
    DerivativesStore(server).close()
    driver.execute(f"UPDATE quant_assets.{version_table.name} SET version_num = '0003'")
    with pytest.raises(StoreError, match="tables of an earlier version, which the next scan or fetch upgrades"):
        DerivativesStore(server, read_only=True)


def test_newer_database_is_refused(server: DatabaseServer, driver: psycopg2.extensions.cursor) -> None:
    open_database(server).close()
    driver.execute(f"UPDATE quant_assets.{version_table.name} SET version_num = '9999'")
    for read_only in (False, True):
        with pytest.raises(NewerDatabase, match="update the program"):
            open_database(server, read_only=read_only)


def _open(url: str, start: Barrier) -> None:
    start.wait(60)
    DerivativesStore(DatabaseServer(url)).close()


def test_processes_that_create_the_tables_at_once_wait_for_each_other(
    server: DatabaseServer, driver: psycopg2.extensions.cursor
) -> None:
    context = multiprocessing.get_context("fork")
    start = context.Barrier(3)
    processes = [context.Process(target=_open, args=(server.url, start)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    driver.execute(f"SELECT version_num FROM quant_assets.{version_table.name}")
    assert driver.fetchall() == [(REVISION,)]


def test_transaction_is_undone_after_an_exception(server: DatabaseServer) -> None:
    with closing(open_database(server)) as database:
        with pytest.raises(DatabaseError), database.write() as connection:
            database.replace_rows(connection, metadata, [("a", "1"), ("b", None)])
        with database.write() as connection:
            database.replace_rows(connection, metadata, [("b", "1"), ("b", "2")])
        rows = database.read(lambda connection: [tuple(row) for row in connection.execute(sa.select(metadata))])
    assert rows == [("b", "2")]


def test_connection_that_the_server_closed_is_opened_again(
    server: DatabaseServer, driver: psycopg2.extensions.cursor
) -> None:
    with closing(open_database(server)) as database:
        driver.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'quant_assets'")
        assert len(driver.fetchall()) == 1
        with database.write() as connection:
            database.replace_rows(connection, metadata, [("a", "1")])


def test_server_that_restarts_is_waited_for(server: DatabaseServer, database_server: str) -> None:
    done: list[str] = []

    def write(database: AnyDatabase, name: str) -> None:
        with database.write() as connection:
            database.replace_rows(connection, metadata, [(name, "1")])
        done.append(name)

    def open_and_write() -> None:
        with closing(open_database(server)) as database:
            write(database, "opened meanwhile")

    with closing(open_database(server)) as database:
        with stopped(database_server):
            threads = [Thread(target=write, args=(database, "opened before")), Thread(target=open_and_write)]
            for thread in threads:
                thread.start()
            threads[0].join(0.7)
            assert done == []
        for thread in threads:
            thread.join(60)
    assert sorted(done) == ["opened before", "opened meanwhile"]


def wrong(server: DatabaseServer, part: str) -> DatabaseServer:
    """Return the address with another password, host or database."""
    changes = {
        "password": (f":{DATABASE_PASSWORD}@", f":{DATABASE_PASSWORD}-wrong@"),
        "host": ("@127.0.0.1:", "@127.0.0.2:"),
        "database": ("/test_", "/missing_"),
    }
    return DatabaseServer(server.url.replace(*changes[part]))


@pytest.mark.parametrize("part", ["password", "host", "database"])
def test_error_names_the_server_and_never_the_password(server: DatabaseServer, part: str, tmp_path: Path) -> None:
    place = wrong(server, part)
    settings = Settings(data_dir=tmp_path, database_url=place.url)
    calls = (
        lambda: DerivativesStore(place),
        lambda: DerivativesStore(place, read_only=True),
        lambda: CallBudget(place, 40),
        lambda: recorded_origins(settings),
        lambda: record_origin(settings, "BYBIT", "bybit"),
    )
    for call in calls:
        with pytest.raises((StoreError, BudgetUnusable, OriginError), match="check QUANT_DATABASE_URL") as found:
            call()
        error: BaseException | None = found.value
        assert str(place) in str(error)
        while error is not None:
            assert DATABASE_PASSWORD not in f"{error!r} {error}"
            error = error.__cause__ or error.__context__
    assert DATABASE_PASSWORD not in f"{place} {place!r} {settings!r}"


def test_origins_are_recorded_in_the_database(server: DatabaseServer, tmp_path: Path) -> None:
    one, other = (Settings(data_dir=tmp_path / name, database_url=server.url) for name in ("one", "other"))
    assert recorded_origins(one) == {}
    record_origin(one, "coinalyze", LOOPBACK_ORIGIN)
    record_origin(other, "coinalyze", "api.coinalyze.net")
    record_origin(other, "BYBIT", "bybit")
    assert recorded_origins(one) == {"coinalyze": LOOPBACK_ORIGIN, "BYBIT": "bybit"}
    assert not list(tmp_path.iterdir())


def test_driver_is_imported_only_for_a_server(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom pathlib import Path\n"
        "from quant_assets.derivatives.store import DerivativesStore\n"
        "from quant_assets.providers.budget import CallBudget\n"
        "DerivativesStore(Path(sys.argv[1]) / 's').close(); CallBudget(Path(sys.argv[1]) / 'b', 1).close()\n"
        "print([name for name in ('psycopg2', 'sqlalchemy.dialects.postgresql.psycopg2') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


def test_file_and_server_open_the_same_way(server: DatabaseServer, tmp_path: Path) -> None:
    with closing(open_database(tmp_path / "folder" / "a.sqlite")) as database:
        assert isinstance(database, Database)
    with pytest.raises(DatabaseError):
        open_database(DatabaseServer("postgresql://127.0.0.1:1/none"))
