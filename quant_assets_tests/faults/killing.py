"""Kill worker processes in the middle of their work, after a random number of steps or a random time."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

from sqlalchemy.engine import default

import quant_assets
from quant_assets_tests.forking import CONTEXT

PACKAGE = Path(quant_assets.__file__).parent
#: Steps are counted in these files: those that fetch, store and write, and the libraries that they write with.
COUNTED_FILES = (
    *(str(PACKAGE / name) for name in ("common/files.py", "storage/lake.py", "feed/publish.py")),
    *(str(PACKAGE / name) for name in ("providers/budget.py", "providers/reserve.py", "providers/coinalyze/client.py")),
    *(str(PACKAGE / name) for name in ("derivatives/refresh.py", "derivatives/store.py", "storage/database.py")),
    default.__file__,
)
#: The file that writes files.
WRITING_FILES = (str(PACKAGE / "common/files.py"),)
TIMEOUT_SECONDS = 120


def run(work: Callable[..., None], *arguments: Any) -> None:
    """Run a worker to the end; it must succeed."""
    worker = CONTEXT.Process(target=_run_with_timeout, args=(work, arguments))
    worker.start()
    worker.join(TIMEOUT_SECONDS)
    assert worker.exitcode == 0


def kill_after_steps(
    rng: Random, steps: int, work: Callable[..., None], *arguments: Any, counted: tuple[str, ...] = COUNTED_FILES
) -> None:
    """Run a worker that kills itself after a random number of steps, each a call or return of Python or C.

    Steps count in files whose paths begin with one of `counted`, and in what these call directly.
    """
    worker = CONTEXT.Process(target=_run_until_killed, args=(rng.randint(1, steps), counted, work, arguments))
    worker.start()
    worker.join(TIMEOUT_SECONDS)
    assert worker.exitcode in {-signal.SIGKILL, 0}


def kill_after_seconds(rng: Random, seconds: float, work: Callable[..., None], *arguments: Any) -> None:
    """Kill a worker from outside after a random time, even in the middle of a write of SQLite or the kernel."""
    worker = CONTEXT.Process(target=_run_with_timeout, args=(work, arguments))
    worker.start()
    time.sleep(rng.uniform(0, seconds))
    worker.kill()
    worker.join(TIMEOUT_SECONDS)
    assert worker.exitcode in {-signal.SIGKILL, 0}


def _run_with_timeout(work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """Run the work, and end after TIMEOUT_SECONDS if the test process is gone."""
    signal.alarm(TIMEOUT_SECONDS)
    work(*arguments)


def _run_until_killed(
    step: int, counted: tuple[str, ...], work: Callable[..., None], arguments: tuple[Any, ...]
) -> None:
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
    _run_with_timeout(work, arguments)
