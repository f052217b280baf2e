"""Run a Redis server for a test, from Debian's package."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import redis

from quant_assets_tests.defs.live import free_port, stop_process_group, wait_for
from quant_assets_tests.programs import require


@dataclass
class RedisServer:
    """A server that keeps nothing on the disk; `password` is asked of clients."""

    password: str
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def start(self) -> None:
        program = require("redis-server", shutil.which("redis-server"))
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--requirepass", self.password]
        self.process = subprocess.Popen(
            [program, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
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
def redis_server(password: str) -> Iterator[RedisServer]:
    """Run a server while the block runs."""
    server = RedisServer(password, free_port())
    server.start()
    try:
        yield server
    finally:
        server.stop()
