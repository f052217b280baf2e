"""The processes of this machine."""

from __future__ import annotations

import os


def pid_exists(pid: int) -> bool:
    """Whether a process with this number runs, whoever owns it."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):  # the latter for a number that no process has
        return False
    except PermissionError:
        return True
    return True
