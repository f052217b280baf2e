"""Keep scans away from the end of a window: it ends their requests, so a scan that meets it knows less than others."""

from __future__ import annotations

import time
from typing import Final

from quant_assets.common.windows import WINDOW_LENGTH

#: A scan of a test is done with its requests within these seconds, also on a busy machine.
SCAN_SECONDS: Final = 20.0


def wait_if_window_ends_soon() -> None:
    """Wait until the window that is open now has ended, if a scan that starts now could meet its end."""
    length = WINDOW_LENGTH.total_seconds()
    left = length - time.clock_gettime(time.CLOCK_REALTIME) % length  # tests set `time.time`
    if left < SCAN_SECONDS:
        time.sleep(left)
