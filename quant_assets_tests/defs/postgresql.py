"""Run a PostgreSQL server for a test, from Debian's packages."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from quant_assets_tests.defs.live import free_port
from quant_assets_tests.programs import postgresql_programs

#: initdb refuses to run as root; Debian's packages create this user.
USER = "postgres"


@contextmanager
def postgresql() -> Iterator[str]:
    """Run a server with an empty database; yield its URL."""
    programs = postgresql_programs()
    folder = Path(tempfile.mkdtemp(prefix="quant_assets_pg_"))
    if os.geteuid() == 0:
        shutil.chown(folder, USER)
    port = free_port()
    data = folder / "data"
    try:
        _run(programs / "initdb", "--pgdata", str(data), "--username", USER, "--auth", "trust", "--no-sync")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
        control = (programs / "pg_ctl", "--pgdata", str(data), "--log", str(folder / "log"), "--wait")
        _run(*control, "--options", options, "start")
        try:
            yield f"postgresql://{USER}@127.0.0.1:{port}/postgres"
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
