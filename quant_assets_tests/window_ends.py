"""Keep scans of tests from crossing the end of a window: requests stop there, so such a scan has fewer derivatives."""

from __future__ import annotations

import time
from typing import Final

from quant_assets.common.windows import WINDOW_LENGTH

#: A scan of a test has sent its requests within these seconds, also on a busy machine.
MIN_SECONDS_LEFT: Final = 20.0


def wait_if_window_ends_soon() -> None:
    """Wait until the window that is open now has ended, if a scan that starts now could cross its end."""
    length = WINDOW_LENGTH.total_seconds()
    left = length - time.clock_gettime(time.CLOCK_REALTIME) % length  # tests set `time.time`
    if left < MIN_SECONDS_LEFT:
        time.sleep(left + 0.1)
