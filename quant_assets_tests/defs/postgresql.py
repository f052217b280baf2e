"""Run a PostgreSQL server for a test, from Debian's packages."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg2

from quant_assets_tests.defs.live import free_port
from quant_assets_tests.programs import postgresql_programs

#: initdb refuses to run as root; Debian's packages create this user.
USER = "postgres"
DATABASE_PASSWORD = "p4ssw0rd-of-a-database"


@dataclass(frozen=True)
class PostgresqlServer:
    """A server in a folder that `initdb` has filled.

    It listens on `address`, and `prefix` is the command through which its programs are started.
    """

    folder: Path
    password: str
    port: int
    address: str = "127.0.0.1"
    prefix: Sequence[str] = ()

    @property
    def url(self) -> str:
        """Return the URL of an empty database."""
        login = f"{USER}{self.password and f':{self.password}'}"
        return f"postgresql://{login}@{self.address}:{self.port}/postgres"

    def create(self) -> None:
        """Create the files of the server."""
        if os.geteuid() == 0:
            shutil.chown(self.folder, USER)
        login: tuple[str, ...] = ("--auth", "trust")
        if self.password:
            (self.folder / "password").write_text(self.password)
            (self.folder / "password").chmod(0o644)
            login = ("--auth", "scram-sha-256", "--pwfile", str(self.folder / "password"))
        data = self.folder / "data"
        self._run("initdb", "--pgdata", str(data), "--username", USER, "--no-sync", *login)
        if self.address != "127.0.0.1":
            with (data / "pg_hba.conf").open("a") as access:
                access.write("host all all samenet scram-sha-256\n")

    def start(self) -> None:
        """Start the server, and wait until it is ready."""
        options = f"-p {self.port} -c listen_addresses={self.address} -c unix_socket_directories={self.folder}"
        self._control("--log", str(self.folder / "log"), "--options", f"{options} -c fsync=off", "start")

    def stop(self) -> None:
        """Stop the server at once, as in a crash."""
        self._control("--mode", "immediate", "stop")

    def _control(self, *arguments: str) -> None:
        self._run("pg_ctl", "--pgdata", str(self.folder / "data"), "--wait", *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        as_user: Sequence[str] = ("runuser", "-u", USER, "--") if os.geteuid() == 0 else ()
        # Not captured, since the server would inherit a pipe and keep it open.
        subprocess.run(
            [*self.prefix, *as_user, str(postgresql_programs() / program), *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=60,
        )


@contextmanager
def postgresql(password: str = "") -> Iterator[str]:
    """Run a server with an empty database; yield its URL. With a password, the server asks for it."""
    postgresql_programs()
    folder = Path(tempfile.mkdtemp(prefix="quant_assets_pg_"))
    try:
        with running_postgresql(PostgresqlServer(folder, password, free_port())) as server:
            yield server.url
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running_postgresql(server: PostgresqlServer) -> Iterator[PostgresqlServer]:
    """Create a server, and run it while the block runs."""
    server.create()
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def stopped(url: str) -> Iterator[None]:
    """Stop a server of `postgresql` at once while the block runs, and start it again."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW data_directory")
        data = Path(cursor.fetchone()[0])
        cursor.execute("SHOW port")
        port = int(cursor.fetchone()[0])
    server = PostgresqlServer(data.parent, "", port)
    server.stop()
    try:
        yield
    finally:
        server.start()


def new_database(url: str) -> str:
    """Create a database in a server; return its URL."""
    name = f"test_{uuid.uuid4().hex}"
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
    return f"{url.rpartition('/')[0]}/{name}"
