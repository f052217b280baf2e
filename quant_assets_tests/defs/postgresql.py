"""Run a PostgreSQL server for a test, from Debian's packages."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2

from quant_assets_tests.defs.live import free_port
from quant_assets_tests.programs import postgresql_programs

#: initdb refuses to run as root; Debian's packages create this user.
USER = "postgres"
DATABASE_PASSWORD = "p4ssw0rd-of-a-database"


@contextmanager
def postgresql(password: str = "") -> Iterator[str]:
    """Run a server with an empty database; yield its URL. With a password, the server asks for it."""
    programs = postgresql_programs()
    folder = Path(tempfile.mkdtemp(prefix="quant_assets_pg_"))
    if os.geteuid() == 0:
        shutil.chown(folder, USER)
    port = free_port()
    data = folder / "data"
    try:
        login: tuple[str, ...] = ("--auth", "trust")
        if password:
            (folder / "password").write_text(password)
            (folder / "password").chmod(0o644)
            login = ("--auth", "scram-sha-256", "--pwfile", str(folder / "password"))
        _run(programs / "initdb", "--pgdata", str(data), "--username", USER, "--no-sync", *login)
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
        control = (programs / "pg_ctl", "--pgdata", str(data), "--log", str(folder / "log"), "--wait")
        _run(*control, "--options", options, "start")
        try:
            yield f"postgresql://{USER}{password and f':{password}'}@127.0.0.1:{port}/postgres"
        finally:
            _run(*control, "--mode", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(*command: str | Path) -> None:
    as_user: Sequence[str] = ("runuser", "-u", USER, "--") if os.geteuid() == 0 else ()
    # Not captured, since the server would inherit a pipe and keep it open.
    subprocess.run(
        [*as_user, *map(str, command)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60
    )


@contextmanager
def stopped(url: str) -> Iterator[None]:
    """Stop a server at once while the block runs, and start it again."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW data_directory")
        data = cursor.fetchone()[0]
        cursor.execute("SHOW port")
        port = cursor.fetchone()[0]
    control = (postgresql_programs() / "pg_ctl", "--pgdata", data, "--wait")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={Path(data).parent} -c fsync=off"
    _run(*control, "--mode", "immediate", "stop")
    try:
        yield
    finally:
        _run(*control, "--log", str(Path(data).parent / "log"), "--options", options, "start")


def new_database(url: str) -> str:
    """Create a database in a server; return its URL."""
    name = f"test_{uuid.uuid4().hex}"
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
    return f"{url.rpartition('/')[0]}/{name}"
