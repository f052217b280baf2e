"""Whether a process of this machine still exists."""

from __future__ import annotations

import os


def pid_exists(pid: int) -> bool:
    """Return whether a process with this id exists, whichever user owns it."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):  # OverflowError: larger than any process id
        return False
    except PermissionError:
        return True
    return True
