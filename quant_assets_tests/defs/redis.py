"""Run a Redis server for a test, from Debian's package."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import redis

from quant_assets_tests.defs.live import free_port, stop_process_group, wait_for
from quant_assets_tests.programs import require


@dataclass
class RedisServer:
    """A server that keeps nothing on the disk; `password` is asked of clients.

    It listens on `address`, and `prefix` is the command through which it is started.
    """

    password: str
    port: int
    address: str = "127.0.0.1"
    prefix: Sequence[str] = ()
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@{self.address}:{self.port}/0"

    def start(self) -> None:
        program = require("redis-server", shutil.which("redis-server"))
        options = ["--port", str(self.port), "--bind", self.address, "--save", "", "--requirepass", self.password]
        self.process = subprocess.Popen(
            [*self.prefix, program, *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_for(self._answers, 30, "Redis")

    def stop(self) -> None:
        """Stop the server, which forgets everything."""
        if self.process is not None:
            stop_process_group(self.process, signal.SIGKILL)
            self.process = None

    def _answers(self) -> bool:
        try:
            return bool(redis.Redis.from_url(self.url).ping())
        except redis.ConnectionError:
            return False


@contextmanager
def redis_server(
    password: str, address: str = "127.0.0.1", port: int = 0, prefix: Sequence[str] = ()
) -> Iterator[RedisServer]:
    """Run a server while the block runs, on any free port unless one is given."""
    server = RedisServer(password, port or free_port(), address, prefix)
    server.start()
    try:
        yield server
    finally:
        server.stop()
