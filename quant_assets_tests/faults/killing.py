"""Processes that are killed in the middle of their work, at a step or at a moment that chance has chosen."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

import filelock
import pyrate_limiter

import quant_assets

PACKAGE = Path(quant_assets.__file__).parent
#: Where a step is counted: in what asks, keeps and writes, and in what that leaves its files to.
COUNTED = (
    *(str(PACKAGE / name) for name in ("common/files.py", "storage/lake.py", "feed/publish.py")),
    *(str(PACKAGE / name) for name in ("providers/coinalyze/budget.py", "providers/coinalyze/client.py")),
    *(str(PACKAGE / name) for name in ("derivatives/refresh.py", "derivatives/store.py")),
    *(str(Path(str(module.__file__)).parent) for module in (filelock, pyrate_limiter)),
)
#: Where alone files are written.
WRITING = (str(PACKAGE / "common/files.py"),)
#: A worker is forked from a process that has imported everything, so that it costs some milliseconds.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["pytest", "quant_assets_tests.faults.workers", "quant_assets_tests.faults.commands"])
ENDLESS_SECONDS = 120


def run(work: Callable[..., None], *arguments: Any) -> None:
    """Let a worker do its work to the end."""
    worker = CONTEXT.Process(target=_bounded, args=(work, arguments))
    worker.start()
    worker.join(ENDLESS_SECONDS)
    assert worker.exitcode == 0


def kill_at_a_step(
    chance: Random, steps: int, work: Callable[..., None], *arguments: Any, counted: tuple[str, ...] = COUNTED
) -> None:
    """Let a worker work until it kills itself at one of its first steps: a call, of Python or C, or a return.

    Counted are the steps in the files that begin with one of `counted`, and in what they call.
    """
    worker = CONTEXT.Process(target=_dying, args=(chance.randint(1, steps), counted, work, arguments))
    worker.start()
    worker.join(ENDLESS_SECONDS)
    assert worker.exitcode in {-signal.SIGKILL, 0}


def kill_at_a_moment(chance: Random, seconds: float, work: Callable[..., None], *arguments: Any) -> None:
    """Kill a worker from outside: wherever it is, in the middle of a write of SQLite or of the kernel too."""
    worker = CONTEXT.Process(target=_bounded, args=(work, arguments))
    worker.start()
    time.sleep(chance.uniform(0, seconds))
    worker.kill()
    worker.join(ENDLESS_SECONDS)
    assert worker.exitcode in {-signal.SIGKILL, 0}


def _bounded(work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """Do some work; it ends by itself some time after whoever was to kill it is gone."""
    signal.alarm(ENDLESS_SECONDS)
    work(*arguments)


def _dying(step: int, counted: tuple[str, ...], work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    left = step

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal left
        caller = frame.f_back
        here = frame.f_code.co_filename.startswith(counted) and frame.f_code.co_name != "<genexpr>"
        if here or (caller is not None and caller.f_code.co_filename.startswith(counted)):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(count)
    _bounded(work, arguments)
