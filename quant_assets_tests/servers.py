"""Run a server command in a process of its own, as a user does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def running(
    command: str, env: Mapping[str, str], cwd: Path, *options: str
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `serve` or `emulator` on a free port; yield the process and the first line that it prints on stdout.

    The process is killed at the end.
    """
    program = subprocess.Popen(
        [sys.executable, "-m", "quant_assets", command, "--port", "0", *options],
        env=env,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert program.stdout is not None
        yield program, program.stdout.readline()
    finally:
        program.kill()
        program.wait()
