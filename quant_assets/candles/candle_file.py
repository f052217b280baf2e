"""One candle file: its bytes, the bars in them, and what is wrong with either.

A file is refused as a whole where it is corrupt, since then nothing in it can be trusted; a bar is left out
alone, by rules that look at that bar (and at others of the same time) only, so that what comes later in a file
never changes what was kept before.
"""

from __future__ import annotations

import math
import os
import re
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from operator import itemgetter
from reprlib import repr as short
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import orjson

FIELDS = ("time", "open", "high", "low", "close", "volume")
SIZE_LIMIT_BYTES = 64 * 1024 * 1024

_COLUMN_GETTERS = tuple(itemgetter(field) for field in FIELDS)
_FIRST_MS = 1_230_768_000_000  # 2009-01-01, when the first coin was mined
_LAST_MS = 4_102_444_800_000  # 2100-01-01
_UNITS = ((1e8, 1e11, "seconds"), (1e14, 1e17, "microseconds"), (1e17, 1e20, "nanoseconds"))
_INODE_MASK = 2**63 - 1  # inodes are unsigned; a table's int64 is not


class CandleFileError(ValueError):
    """A candle file that cannot be used as a whole; the message is the reason, in one line."""


class CandleFileUnread(CandleFileError):
    """A candle file whose bytes could not be had, or not in one piece; another try may succeed."""


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """What tells whether a file is still the one that was read."""

    size: int
    modified_ns: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> FileIdentity:
        """Take the identity from what the system says of a file."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ino & _INODE_MASK)


@dataclass(frozen=True, slots=True)
class FileBars:
    """The bars of one file in order of time, each time once.

    Attributes:
        columns: float64 of shape (6, bars), rows as FIELDS; times in epoch ms, which a double holds exactly.
        dropped: bars left out one by one.
        note: why bars were left out or rearranged, "" where none were.
        gaps: places where bars are missing between two that are there.
    """

    columns: npt.NDArray[np.float64]
    dropped: int
    note: str
    gaps: int


def read_content(path: str) -> tuple[bytes, FileIdentity]:
    """Read a regular file in one piece, with the identity of what was read.

    The path's last part must be no symbolic link. Nothing but a regular file is waited for. Raises
    CandleFileError for a file above SIZE_LIMIT_BYTES, before any of it is read, and CandleFileUnread where there
    is no file to read, or it changed meanwhile.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            before = os.fstat(descriptor)
            if not stat.S_ISREG(before.st_mode):
                raise CandleFileUnread("not a regular file")
            refuse_larger(before.st_size)
            content = os.read(descriptor, before.st_size + 1)
            after = os.fstat(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise CandleFileUnread(f"cannot be read: {error.strerror or error}") from None
    identity = FileIdentity.of(before)
    if FileIdentity.of(after) != identity or len(content) != identity.size:
        raise CandleFileUnread("changed while it was read")
    return content, identity


def refuse_larger(size: int) -> None:
    """Raise CandleFileError for a file of more bytes than a candle file may have."""
    if size > SIZE_LIMIT_BYTES:
        raise CandleFileError(f"{size:,} bytes, more than the limit of {SIZE_LIMIT_BYTES:,} for a candle file")


LARGEST = 1e18
"""A price or volume above is a fault of the file."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def parse_bars(content: bytes, step_ms: int) -> FileBars:
    """Read the bars of a timeframe of `step_ms` from a file's bytes.

    Accepted are an array of bars, or an object that holds one under "data"; a bar is an object with at least
    FIELDS, as numbers or as texts that hold numbers; its time is its open in epoch ms. Raises CandleFileError.
    """
    columns = _plain_columns(content)
    if columns is None:
        columns = _columns_of_any(content.removeprefix(_BYTE_ORDER_MARK))
    _check_times(columns[0], step_ms)
    return _clean(columns, step_ms)


class _PlainBar(msgspec.Struct, gc=False):
    """A bar as nearly every file has it; other fields are passed over."""

    time: float
    open: float
    high: float
    low: float
    close: float
    volume: float


_PLAIN_BARS = msgspec.json.Decoder(list[_PlainBar])


def _plain_columns(content: bytes) -> npt.NDArray[np.float64] | None:
    """Read an array of bars whose fields are all numbers; None for anything else, which is looked at bar by bar.

    msgspec makes floats of the six fields at once, in half the time that orjson takes to make dictionaries.
    """
    if not content.isascii():  # since what it passes over may be no UTF-8
        return None
    try:
        bars = _PLAIN_BARS.decode(content)
    except (msgspec.DecodeError, RecursionError):  # of a value of another type, or nested without end
        return None
    numbers = chain.from_iterable(map(msgspec.structs.astuple, bars))
    columns = np.fromiter(numbers, np.float64, len(bars) * len(FIELDS)).reshape(-1, len(FIELDS)).T.copy()
    return columns if len(bars) and (np.abs(columns[1:]) <= LARGEST).all() else None


def _columns_of_any(content: bytes) -> npt.NDArray[np.float64]:
    """Read bars in any form that is accepted, or raise a CandleFileError that says what is wrong, and where."""
    bars = _bars(content)
    columns = _columns(bars)
    if any(isinstance(bars[place][field], str) for place in (0, -1) for field in FIELDS):
        _check_texts(bars)  # a file writes its numbers one way; to look at every bar of every file would cost too much
    return columns


def _bars(content: bytes) -> list[Any]:
    if not content:
        raise CandleFileError("the file is empty")
    try:
        bars = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise CandleFileError(_json_fault(content, error)) from None
    if isinstance(bars, dict):
        if "data" not in bars:
            raise CandleFileError('an object without "data"; expected an array of bars, or {"data": [bars]}')
        bars = bars["data"]
    if not isinstance(bars, list):
        raise CandleFileError(f"{_kind(bars)} where an array of bars was expected")
    if not bars:
        raise CandleFileError("no bars in it")
    return bars


def _json_fault(content: bytes, error: orjson.JSONDecodeError) -> str:
    """Return what is wrong, and at which byte, of bytes that orjson refuses."""
    try:
        content.decode()
    except UnicodeDecodeError as fault:
        if fault.reason == "unexpected end of data":
            return f"cut off: unexpected end of data at byte {len(content)}"
        return f"not UTF-8: byte 0x{content[fault.start]:02x} at byte {fault.start}"
    place = len(error.doc[: error.pos].encode())
    if error.msg == "unexpected end of data" or not content[place:].strip():
        return f"cut off: unexpected end of data at byte {len(content)}"
    if "infinity" in error.msg or content[place:].lstrip(b"-+").startswith((b"NaN", b"nan", b"Inf", b"inf")):
        return f"a number that is not finite at byte {place}"
    return f"not JSON: {error.msg} at byte {place}"


def _columns(bars: list[Any]) -> npt.NDArray[np.float64]:
    columns = np.empty((len(FIELDS), len(bars)))
    try:
        for row, getter in enumerate(_COLUMN_GETTERS):
            columns[row] = np.fromiter(map(getter, bars), np.float64, len(bars))
    except (KeyError, TypeError, ValueError, OverflowError):
        _diagnose(bars)
        raise
    # null reads as NaN, and texts may say nan or inf
    if not np.isfinite(columns).all() or (np.abs(columns[1:]) > LARGEST).any():
        _diagnose(bars)
    # True and False read as 1 and 0, so each of these is looked at again.
    rows, places = np.nonzero((columns == 0) | (columns == 1))
    if any(
        isinstance(bars[place][FIELDS[row]], bool) for row, place in zip(rows.tolist(), places.tolist(), strict=True)
    ):
        _diagnose(bars)
    return columns


def _diagnose(bars: list[Any]) -> None:
    for place, bar in enumerate(bars):
        _check_bar(bar, place)


def _check_bar(bar: object, place: int) -> None:
    """Raise CandleFileError for what is wrong with a bar; places are counted from 0."""
    if not isinstance(bar, dict):
        raise CandleFileError(f"bar {place} is {_kind(bar)}, not an object")
    for field in FIELDS:
        if field not in bar:
            raise CandleFileError(f"bar {place} has no {field}")
        value = bar[field]
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise CandleFileError(f"bar {place}: {field} is {_kind(value)}, not a number")
        try:
            finite = math.isfinite(float(value))
        except (ValueError, OverflowError):
            raise CandleFileError(f"bar {place}: {field} is {short(value)}, not a number") from None
        if not finite:
            raise CandleFileError(f"bar {place}: {field} is not a finite number")
        if field != "time" and abs(float(value)) > LARGEST:
            raise CandleFileError(f"bar {place}: {field} is {short(value)}, beyond anything that is traded")


def _check_texts(bars: list[Any]) -> None:
    """Raise CandleFileError for a text that Python reads as a number, but nobody writes so: `1_000`, `" 12"`."""
    for place, bar in enumerate(bars):
        for field in FIELDS:
            value = bar[field]
            if isinstance(value, str) and not _NUMBER.fullmatch(value):
                raise CandleFileError(f"bar {place}: {field} is {short(value)}, not a number")


def _check_times(times: npt.NDArray[np.float64], step_ms: int) -> None:
    off_grid = np.rint(times / step_ms) * step_ms != times  # exact, and much quicker than a remainder
    wrong = off_grid | (times < _FIRST_MS) | (times >= _LAST_MS)
    if not wrong.any():
        return
    place = int(np.flatnonzero(wrong)[0])
    time = float(times[place])
    for low, high, unit in _UNITS:
        if low <= time < high:
            raise CandleFileError(f"times look like {unit}, expected milliseconds (bar {place}: {time:.0f})")
    if not _FIRST_MS <= time < _LAST_MS:
        raise CandleFileError(f"bar {place}: time {time:.15g} is not between 2009 and 2100, in epoch milliseconds")
    moment = datetime.fromtimestamp(time / 1000, UTC).isoformat()
    raise CandleFileError(f"bar {place}: {moment} is no opening time on the grid of {step_ms // 60_000} minutes")


def _clean(columns: npt.NDArray[np.float64], step_ms: int) -> FileBars:
    """Leave out broken bars and repeated times, and put the rest in order."""
    total = columns.shape[1]
    notes: list[str] = []
    times, _, highs, lows, _, volumes = columns
    prices = columns[1:5]
    is_sound = (prices.min(axis=0) == lows) & (prices.max(axis=0) == highs) & (lows > 0) & (volumes >= 0)
    if not is_sound.all():
        broken = ~is_sound
        no_price: npt.NDArray[np.bool_] = np.any(prices <= 0, axis=0)
        negative = (volumes < 0) & ~no_price
        disorder = broken & ~no_price & ~negative
        notes += _counted(no_price, "with a price that is not positive")
        notes += _counted(negative, "with a negative volume")
        notes += _counted(disorder, "with open, high, low and close in contradiction")
        columns = columns[:, ~broken]
        times = columns[0]
    steps = np.diff(times)
    if (steps <= 0).any():
        if (steps < 0).any():
            notes.append("put in order of time")
        columns = columns[:, np.argsort(times, kind="stable")]
        superseded = np.append(np.diff(columns[0]) == 0, False)
        notes += _counted(superseded, "followed by another of the same time")
        columns = columns[:, ~superseded]
    kept = columns.shape[1]
    note = "; ".join(notes)
    if not kept:
        raise CandleFileError(f"no bars left: {note}")
    return FileBars(columns, total - kept, note, count_gaps(columns[0], step_ms))


def count_gaps(times: npt.NDArray[np.float64], step_ms: int) -> int:
    """Count the places between two of these times where bars of `step_ms` are missing."""
    return int((np.diff(times) > step_ms).sum())


def _counted(bars: npt.NDArray[np.bool_], fault: str) -> list[str]:
    count = int(bars.sum())
    return [f"left out {count} {'bar' if count == 1 else 'bars'} {fault}"] if count else []


def _kind(value: object) -> str:
    if value is None:
        return "null"
    kinds = {bool: "true or false", dict: "an object", list: "an array", str: "a text", int: "a number"}
    return kinds.get(type(value), "a number")
