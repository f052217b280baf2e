"""Fork processes from one that has imported everything, so that a process costs milliseconds and no imports.

A forked command has state of its own (environment, folder, streams, signals), so that nothing is left for the next one.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from quant_assets.cli import main
from quant_assets.derivatives.datasets import LOADED_DATASETS
from quant_assets.providers.registry import LOADED_PROVIDERS
from quant_assets_tests.window_ends import wait_if_window_ends_soon

CONTEXT: Final = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["pytest", "quant_assets_tests.imported", "quant_assets_tests.faults.workers", "quant_assets_tests.faults.commands"]
)
TIMEOUT_SECONDS: Final = 300
#: Read when Python starts or a module is imported, so that a fork would not see them.
READ_AT_START: Final = ("PYTHON", LOADED_DATASETS, LOADED_PROVIDERS)


def run(*arguments: str, env: Mapping[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in a forked process; return its exit code, stdout and stderr, as `subprocess.run` does.

    Raises ValueError for variables that take a process of its own: use `run_process`.
    """
    _wait_before_scan(arguments)
    different = {name for name in env.keys() | os.environ if env.get(name) != os.environ.get(name)}
    if read_at_start := sorted(name for name in different if name.startswith(READ_AT_START)):
        raise ValueError(f"{', '.join(read_at_start)} are read when Python starts, and change no fork: use run_process")
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("stdout", "stderr")]
        process = CONTEXT.Process(target=become_command, args=(arguments, dict(env), cwd, *paths))
        process.start()
        process.join(TIMEOUT_SECONDS)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(arguments, TIMEOUT_SECONDS)
        return subprocess.CompletedProcess(arguments, process.exitcode, *(path.read_text("utf-8") for path in paths))


def run_process(*arguments: str, env: Mapping[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own, from the start of Python to its end."""
    _wait_before_scan(arguments)
    return subprocess.run(
        [sys.executable, "-m", "quant_assets", *arguments],
        env=env,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )


def _wait_before_scan(arguments: Sequence[str]) -> None:
    if {"scan", "fetch"} & set(arguments[:1]):
        wait_if_window_ends_soon()


def become_command(arguments: Sequence[str], env: Mapping[str, str], cwd: Path, stdout: Path, stderr: Path) -> None:
    """Run a command in this process, which is a fork; its output is appended to two files. It exits at the end."""
    redirect(env, cwd, stdout, stderr)
    sys.argv = ["quant-assets", *arguments]
    main()


def redirect(env: Mapping[str, str], cwd: Path, stdout: Path, stderr: Path) -> None:
    """Give this process, which is a fork, an environment and a folder, and append its output to two files."""
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for target, path in enumerate((stdout, stderr), 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), target)
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, encoding="utf-8", closefd=False)
