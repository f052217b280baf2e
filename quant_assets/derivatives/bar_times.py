"""The times of stored bars: their length, the history that a window needs, and when a bar has closed."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from quant_assets.common.windows import Window

BAR_SECONDS: Final = 900
#: The history that a window's values are computed from.
NEEDED_HISTORY: Final = timedelta(hours=24)


def needed_since(window: Window) -> int:
    """Return the time (UNIX seconds) since which a window's values need all bars."""
    return window.end_seconds - int(NEEDED_HISTORY.total_seconds())


def opened_before(window: Window) -> int:
    """Return the time (UNIX seconds) before which bars opened that had closed by the window's end."""
    return window.end_seconds - BAR_SECONDS + 1


def closed_ms(opened: float) -> float:
    """Return when the bar that opened at a time (UNIX seconds) closed, epoch ms."""
    return float((int(opened) + BAR_SECONDS) * 1000)
