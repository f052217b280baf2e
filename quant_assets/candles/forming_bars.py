"""Hold back the bars of a file that were still forming when the file was written."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from quant_assets.candles.bar_cleaning import FileBars, count_gaps
from quant_assets.candles.candle_file import CandleFileError
from quant_assets.common.file_identity import FileIdentity

WRITING_TOLERANCE_MS = 2_000
"""Coarse file system clocks may set a modification time this much too early."""


def hold_back_forming_bars(bars: FileBars, step_ms: int, identity: FileIdentity) -> tuple[FileBars, int]:
    """Drop the bars that had not closed when the file was written, and return how many there were.

    The last bar of a file is usually still forming: its close, high, low and volume are not final. Raises
    CandleFileError where no bar is left.
    """
    written_ms = identity.modified_ns // 1_000_000 + WRITING_TOLERANCE_MS
    times = bars.columns[0]
    closed = int(np.searchsorted(times, written_ms - step_ms, side="right"))
    held_back = len(times) - closed
    if not held_back:
        return bars, 0
    if not closed:
        moment = datetime.fromtimestamp(identity.modified_ns / 1e9, UTC)
        raise CandleFileError(f"no bar in it had ended when it was written, at {moment:%Y-%m-%d %H:%M:%S} UTC")
    gaps = count_gaps(times[:closed], step_ms)
    return FileBars(bars.columns[:, :closed], bars.dropped, bars.note, gaps), held_back
