"""Check the bars of one candle file: their times, prices and order.

A file with an invalid time is refused as a whole, because then none of its times can be trusted; any other invalid
bar is dropped alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from quant_assets.candles.candle_file import CandleFileError

FIELDS = ("time", "open", "high", "low", "close", "volume")

_MIN_TIME_MS = 1_230_768_000_000  # 2009-01-01, when the first bitcoin was mined
_MAX_TIME_MS = 4_102_444_800_000  # 2100-01-01
_OTHER_UNITS = ((1e8, 1e11, "seconds"), (1e14, 1e17, "microseconds"), (1e17, 1e20, "nanoseconds"))


class BarFault(StrEnum):
    """Why a single bar is invalid; the value completes "a bar …"."""

    NOT_POSITIVE = "with a price that is not positive"
    NEGATIVE_VOLUME = "with a negative volume"
    CONTRADICTORY = "with open, high, low and close in contradiction"


@dataclass(frozen=True, slots=True)
class FileBars:
    """The valid bars of one file, sorted by time, each time once.

    Attributes:
        columns: float64 of shape (6, bars), rows as FIELDS; times in epoch ms, which a double holds exactly.
        dropped: how many bars were dropped.
        note: why bars were dropped or reordered, "" where none were.
        gaps: places where bars are missing between two bars.
    """

    columns: npt.NDArray[np.float64]
    dropped: int
    note: str
    gaps: int


def invalid_times(times: npt.NDArray[np.float64], step_ms: int) -> npt.NDArray[np.bool_]:
    """Return which times are off the grid of `step_ms`, or not between 2009 and 2100."""
    off_grid = np.rint(times / step_ms) * step_ms != times  # exact, and much quicker than a remainder
    wrong: npt.NDArray[np.bool_] = off_grid | (times < _MIN_TIME_MS) | (times >= _MAX_TIME_MS)
    return wrong


def find_faults(columns: npt.NDArray[np.float64]) -> dict[BarFault, npt.NDArray[np.bool_]]:
    """Return for each fault which bars have it, none of them two; empty if all bars are valid.

    `columns` has the shape of FileBars.columns. Repeated times and the order of bars are no faults.
    """
    _, _, highs, lows, _, volumes = columns
    prices = columns[1:5]
    is_valid = (prices.min(axis=0) == lows) & (prices.max(axis=0) == highs) & (lows > 0) & (volumes >= 0)
    if is_valid.all():
        return {}
    not_positive: npt.NDArray[np.bool_] = np.any(prices <= 0, axis=0)
    negative = (volumes < 0) & ~not_positive
    return {
        BarFault.NOT_POSITIVE: not_positive,
        BarFault.NEGATIVE_VOLUME: negative,
        BarFault.CONTRADICTORY: ~is_valid & ~not_positive & ~negative,
    }


def sort_by_time(
    columns: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Sort bars by time; return the last bar of each time, and which of the sorted bars were superseded."""
    columns = columns[:, np.argsort(columns[0], kind="stable")]
    superseded = np.append(np.diff(columns[0]) == 0, False)[: columns.shape[1]]
    return columns[:, ~superseded], superseded


def check_times(times: npt.NDArray[np.float64], step_ms: int) -> None:
    """Raise CandleFileError for a time that is off the grid of `step_ms`, or not between 2009 and 2100."""
    wrong = invalid_times(times, step_ms)
    if not wrong.any():
        return
    place = int(np.flatnonzero(wrong)[0])
    time = float(times[place])
    for low, high, unit in _OTHER_UNITS:
        if low <= time < high:
            raise CandleFileError(f"times look like {unit}, expected milliseconds (bar {place}: {time:.0f})")
    if not _MIN_TIME_MS <= time < _MAX_TIME_MS:
        raise CandleFileError(f"bar {place}: time {time:.15g} is not between 2009 and 2100, in epoch milliseconds")
    moment = datetime.fromtimestamp(time / 1000, UTC).isoformat()
    raise CandleFileError(f"bar {place}: {moment} is no opening time on the grid of {step_ms // 60_000} minutes")


def clean_bars(columns: npt.NDArray[np.float64], step_ms: int) -> FileBars:
    """Drop invalid bars and repeated times, and sort the rest by time.

    `columns` has the shape of FileBars.columns. Whether a bar is kept depends on that bar and on others of the same
    time alone, so that bars added later never change which earlier ones are kept.
    """
    total = columns.shape[1]
    notes: list[str] = []
    if faults := find_faults(columns):
        for fault, found in faults.items():
            notes += _counted(found, fault)
        columns = columns[:, ~np.any(list(faults.values()), axis=0)]
    steps = np.diff(columns[0])
    if (steps <= 0).any():
        if (steps < 0).any():
            notes.append("put in order of time")
        columns, superseded = sort_by_time(columns)
        notes += _counted(superseded, "followed by another of the same time")
    kept = columns.shape[1]
    note = "; ".join(notes)
    if not kept:
        raise CandleFileError(f"no bars left: {note}")
    return FileBars(columns, total - kept, note, count_gaps(columns[0], step_ms))


def count_gaps(times: npt.NDArray[np.float64], step_ms: int) -> int:
    """Return how many gaps of one or more missing bars there are between these times."""
    return int((np.diff(times) > step_ms).sum())


def _counted(bars: npt.NDArray[np.bool_], fault: str) -> list[str]:
    count = int(bars.sum())
    return [f"left out {count} {'bar' if count == 1 else 'bars'} {fault}"] if count else []
