"""The bars of a file that were still forming when it was written."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from quant_assets.candles.candle_file import CandleFileError, FileBars, FileIdentity, count_gaps

WRITING_TOLERANCE_MS = 2_000
"""By a coarse clock a file may seem to be written that long before it was."""


def hold_back_forming_bars(found: FileBars, step_ms: int, identity: FileIdentity) -> tuple[FileBars, int]:
    """Leave out the bars of a file that had not ended when it was written; also return how many they are.

    The last bar of a file is usually the one that was forming: its close, high, low and volume are not final. Raises
    CandleFileError where no bar is left.
    """
    written_ms = identity.modified_ns // 1_000_000 + WRITING_TOLERANCE_MS
    times = found.columns[0]
    closed = int(np.searchsorted(times, written_ms - step_ms, side="right"))
    held_back = len(times) - closed
    if not held_back:
        return found, 0
    if not closed:
        moment = datetime.fromtimestamp(identity.modified_ns / 1e9, UTC)
        raise CandleFileError(f"no bar in it had ended when it was written, at {moment:%Y-%m-%d %H:%M:%S} UTC")
    return FileBars(
        found.columns[:, :closed], found.dropped, found.note, count_gaps(times[:closed], step_ms)
    ), held_back
