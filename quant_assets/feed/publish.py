"""Putting the feed where consumers read it.

Here: replacing the file whole, and never by an older window. Not here: what is in it.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import orjson
from filelock import FileLock

from quant_assets.files import replace_file
from quant_assets.windows import Window, WindowError


def publish(content: bytes, window: Window, path: Path, now: datetime) -> bool:
    """Make `content` the feed at `path`, unless that is of a newer window; returns whether it was done.

    A feed there of a window that has not ended `now` is none to respect.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        there = published_window(path)
        if there is not None and window.end < there.end <= now:
            return False
        replace_file(path, content)
        return True


def published_window(path: Path) -> Window | None:
    """Return the window of the feed at `path`; None where there is no feed, or none that tells its window."""
    if not path.is_file():
        return None
    try:
        feed = orjson.loads(path.read_bytes())
        return Window.of_key(feed["window"])
    except (FileNotFoundError, orjson.JSONDecodeError, TypeError, KeyError, WindowError):
        return None
