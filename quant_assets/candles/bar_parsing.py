"""Parse the content of a candle file into bars."""

from __future__ import annotations

import math
import re
from itertools import chain
from operator import itemgetter
from reprlib import repr as short
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import orjson

from quant_assets.candles.bar_cleaning import FIELDS, FileBars, check_times, clean_bars
from quant_assets.candles.candle_file import CandleFileError

MAX_VALUE = 1e18
"""A larger price or volume makes the file invalid."""
_COLUMN_GETTERS = tuple(itemgetter(field) for field in FIELDS)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def parse_bars(content: bytes, step_ms: int) -> FileBars:
    """Parse a candle file's content into bars of `step_ms`.

    Accepts an array of bars, or an object with such an array under "data". A bar is an object with at least FIELDS,
    each a number or a string that holds one; its time is its open in epoch ms. Raises CandleFileError.
    """
    columns = _parse_fast(content)
    if columns is None:
        columns = _parse_any(content.removeprefix(_BYTE_ORDER_MARK))
    check_times(columns[0], step_ms)
    return clean_bars(columns, step_ms)


class _NumericBar(msgspec.Struct, gc=False):
    """A bar whose fields are all numbers; other fields are ignored."""

    time: float
    open: float
    high: float
    low: float
    close: float
    volume: float


_NUMERIC_BARS = msgspec.json.Decoder(list[_NumericBar])


def _parse_fast(content: bytes) -> npt.NDArray[np.float64] | None:
    """Parse an array of bars whose fields are all numbers; return None for anything else.

    msgspec decodes the six fields straight to floats, in half the time that orjson takes to make dictionaries.
    """
    if not content.isascii():  # msgspec does not check that ignored fields are UTF-8
        return None
    try:
        bars = _NUMERIC_BARS.decode(content)
    except (msgspec.DecodeError, RecursionError):  # a value of another type, or nested too deeply
        return None
    numbers = chain.from_iterable(map(msgspec.structs.astuple, bars))
    columns = np.fromiter(numbers, np.float64, len(bars) * len(FIELDS)).reshape(-1, len(FIELDS)).T.copy()
    return columns if len(bars) and (np.abs(columns[1:]) <= MAX_VALUE).all() else None


def _parse_any(content: bytes) -> npt.NDArray[np.float64]:
    """Parse bars in any accepted form; raise a CandleFileError that names the fault and its place."""
    bars = _load_bars(content)
    columns = _to_columns(bars)
    if any(isinstance(bars[place][field], str) for place in (0, -1) for field in FIELDS):
        _check_strings(bars)  # a file writes all its numbers the same way, so looking at two bars is enough
    return columns


def _load_bars(content: bytes) -> list[Any]:
    """Return the array of bars in a JSON document."""
    if not content:
        raise CandleFileError("the file is empty")
    try:
        bars = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise CandleFileError(_describe_json_error(content, error)) from None
    if isinstance(bars, dict):
        if "data" not in bars:
            raise CandleFileError('an object without "data"; expected an array of bars, or {"data": [bars]}')
        bars = bars["data"]
    if not isinstance(bars, list):
        raise CandleFileError(f"{_kind(bars)} where an array of bars was expected")
    if not bars:
        raise CandleFileError("no bars in it")
    return bars


def _describe_json_error(content: bytes, error: orjson.JSONDecodeError) -> str:
    """Return why orjson rejects these bytes, and at which byte."""
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


def _to_columns(bars: list[Any]) -> npt.NDArray[np.float64]:
    """Return the bars as columns; raise CandleFileError for the first bar that is invalid."""
    columns = np.empty((len(FIELDS), len(bars)))
    try:
        for row, getter in enumerate(_COLUMN_GETTERS):
            columns[row] = np.fromiter(map(getter, bars), np.float64, len(bars))
    except (KeyError, TypeError, ValueError, OverflowError):
        _check_bars(bars)
        raise
    # null becomes NaN, and strings may say nan or inf
    if not np.isfinite(columns).all() or (np.abs(columns[1:]) > MAX_VALUE).any():
        _check_bars(bars)
    # True and False become 1 and 0, so these are checked again.
    rows, places = np.nonzero((columns == 0) | (columns == 1))
    if any(
        isinstance(bars[place][FIELDS[row]], bool) for row, place in zip(rows.tolist(), places.tolist(), strict=True)
    ):
        _check_bars(bars)
    return columns


def _check_bars(bars: list[Any]) -> None:
    for place, bar in enumerate(bars):
        _check_bar(bar, place)


def _check_bar(bar: object, place: int) -> None:
    """Raise CandleFileError for an invalid bar; `place` counts from 0."""
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
        if field != "time" and abs(float(value)) > MAX_VALUE:
            raise CandleFileError(f"bar {place}: {field} is {short(value)}, beyond anything that is traded")


def _check_strings(bars: list[Any]) -> None:
    """Raise CandleFileError for a string that only Python takes for a number: `1_000`, `" 12"`."""
    for place, bar in enumerate(bars):
        for field in FIELDS:
            value = bar[field]
            if isinstance(value, str) and not _NUMBER.fullmatch(value):
                raise CandleFileError(f"bar {place}: {field} is {short(value)}, not a number")


def _kind(value: object) -> str:
    """Return what a JSON value is, in words."""
    if value is None:
        return "null"
    kinds = {bool: "true or false", dict: "an object", list: "an array", str: "a text", int: "a number"}
    return kinds.get(type(value), "a number")
