"""Test how one candle file is parsed, which bars are dropped, and why a file is refused."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quant_assets.candles.bar_cleaning import FIELDS, FileBars
from quant_assets.candles.bar_parsing import parse_bars
from quant_assets.candles.candle_file import CandleFileError
from quant_assets_tests.candles.candle_folder import QUARTER_MS, START_MS, bars


def parse(content: Any) -> FileBars:
    encoded = content if isinstance(content, bytes) else json.dumps(content).encode()
    return parse_bars(encoded, QUARTER_MS)


def changed(place: int, count: int = 5, **fields: Any) -> list[dict[str, Any]]:
    """Return valid bars with one of them changed."""
    found = bars(count)
    found[place] |= fields
    return found


def times(found: FileBars) -> list[int]:
    return [(int(time) - START_MS) // QUARTER_MS for time in found.columns[0]]


def test_array_of_bars_is_parsed() -> None:
    found = parse(bars())
    assert found.columns.tolist() == [[bar[field] for bar in bars()] for field in FIELDS]
    assert (found.dropped, found.note, found.gaps) == (0, "", 0)


def test_object_with_bars_under_data_is_parsed() -> None:
    assert np.array_equal(parse({"data": bars(), "symbol": "x"}).columns, parse(bars()).columns)


def test_numbers_may_be_strings() -> None:
    texts = [{field: str(value) for field, value in bar.items()} for bar in bars()]
    assert np.array_equal(parse(texts).columns, parse(bars()).columns)


def test_extra_fields_and_field_order_are_ignored() -> None:
    found = parse([{"trades": None, **dict(reversed(bar.items())), "closed": True} for bar in bars()])
    assert np.array_equal(found.columns, parse(bars()).columns)


def test_price_of_one_and_volume_of_zero_are_valid() -> None:
    found = parse(changed(2, open=1, high=1, low=1, close=1, volume=0))
    assert found.columns[1:, 2].tolist() == [1, 1, 1, 1, 0]


GOOD = json.dumps(bars()).encode()
REFUSED = [
    ("empty", b"", "the file is empty"),
    ("blank", b" \n", "cut off: unexpected end of data at byte 2"),
    ("cut", GOOD[:-30], f"cut off: unexpected end of data at byte {len(GOOD) - 30}"),
    ("cut in a letter", '[{"名'.encode()[:-1], "cut off: unexpected end of data at byte 5"),
    ("two values", GOOD + b"]", f"not JSON: .* at byte {len(GOOD)}"),
    ("no json", b"time,open\n1,2\n", "not JSON: .* at byte 0"),
    ("page", b"<html>503</html>", "not JSON: .* at byte 0"),
    ("zeros", b"\0" * 100, "not JSON: .* at byte 0"),
    ("byte behind letters", '[{"名": x'.encode(), "not JSON: .* at byte 9"),
    ("not UTF-8", GOOD + b"\xff", f"not UTF-8: byte 0xff at byte {len(GOOD)}"),
    ("UTF-16", GOOD.decode().encode("utf-16"), "not UTF-8: byte 0xff at byte 0"),
    ("deep", b"[" * 100_000 + b"]" * 100_000, "not JSON: .*depth"),
    ("number", 3, "a number where an array of bars was expected"),
    ("null", None, "null where an array"),
    ("text", "bars", "a text where an array"),
    ("object", {"bars": bars()}, 'an object without "data"'),
    ("object in data", {"data": {}}, "an object where an array"),
    ("no bars", [], "no bars in it"),
    ("no bars in data", {"data": []}, "no bars in it"),
    ("bar is an array", [*bars(2), [1, 2, 3, 4, 5, 6]], "bar 2 is an array, not an object"),
    ("bar is null", [*bars(2), None], "bar 2 is null, not an object"),
    ("null price", changed(3, close=None), "bar 3: close is null, not a number"),
    ("true", changed(3, close=True), "bar 3: close is true or false, not a number"),
    ("false", changed(3, volume=False), "bar 3: volume is true or false, not a number"),
    ("text that is no number", changed(3, open="ten"), "bar 3: open is 'ten', not a number"),
    ("empty text", changed(3, open=""), "bar 3: open is '', not a number"),
    ("price in an array", changed(3, open=[10]), "bar 3: open is an array, not a number"),
    ("nan", changed(3, close="nan"), "bar 3: close is not a finite number"),
    ("inf", changed(3, high="inf"), "bar 3: high is not a finite number"),
    ("huge text", changed(3, high="1e400"), "bar 3: high is not a finite number"),
    ("NaN", json.dumps(changed(3, close=float("nan"))).encode(), r"a number that is not finite at byte \d+"),
    ("-Infinity", json.dumps(changed(3, low=-float("inf"))).encode(), r"a number that is not finite at byte \d+"),
    ("1e400", GOOD.replace(b"13.5", b"1e400"), r"a number that is not finite at byte \d+"),
    ("seconds", [{**bar, "time": bar["time"] // 1000} for bar in bars()], "times look like seconds, expected milli"),
    ("microseconds", [{**bar, "time": bar["time"] * 1000} for bar in bars()], "times look like microseconds"),
    ("nanoseconds", [{**bar, "time": bar["time"] * 10**6} for bar in bars()], "times look like nanoseconds"),
    ("time of day", changed(1, time="2026-01-18T16:15:00Z"), "bar 1: time is '2026-.*, not a number"),
    ("zero time", changed(1, time=0), "bar 1: time 0 is not between 2009 and 2100"),
    ("negative time", changed(1, time=-START_MS), "bar 1: time -1.* is not between 2009 and 2100"),
    ("absurd time", changed(1, time=4_200_000_300_000), "bar 1: time 4200000300000 is not between"),
    ("off the grid", changed(1, time=START_MS + 1), "bar 1: 2026-01-18T16:00:00.001.* no opening time .* 15 minutes"),
    ("fraction of a time", changed(1, time=START_MS + 0.5), "bar 1: .* no opening time"),
    ("all left out", changed(0, 1, low=0), "no bars left: left out 1 bar with a price that is not positive"),
]


@pytest.mark.parametrize(("content", "reason"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_corrupt_file_is_refused_with_a_one_line_reason(content: Any, reason: str) -> None:
    with pytest.raises(CandleFileError, match=f"^{reason}") as refusal:
        parse(content)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize("missing", FIELDS)
def test_every_field_is_required(missing: str) -> None:
    found = bars()
    del found[3][missing]
    with pytest.raises(CandleFileError, match=f"bar 3 has no {missing}"):
        parse(found)


@pytest.mark.parametrize(
    ("fields", "note"),
    [
        ({"low": 0}, "a price that is not positive"),
        ({"low": -1, "volume": -1}, "a price that is not positive"),
        ({"open": 0, "high": 0, "low": 0, "close": 0}, "a price that is not positive"),
        ({"volume": -1}, "a negative volume"),
        ({"high": 12.4}, "open, high, low and close in contradiction"),  # below the open of 12
        ({"high": 13.4}, "open, high, low and close in contradiction"),  # below the close of 13.5
        ({"low": 12.1}, "open, high, low and close in contradiction"),
        ({"low": 20, "high": 5}, "open, high, low and close in contradiction"),
    ],
)
def test_invalid_bar_is_dropped_alone_and_counted(fields: dict[str, Any], note: str) -> None:
    found = parse(changed(2, **fields))
    assert times(found) == [0, 1, 3, 4]
    assert (found.dropped, found.note, found.gaps) == (1, f"left out 1 bar with {note}", 1)


def test_last_of_bars_with_the_same_time_wins() -> None:
    found = parse([*bars(), {**bars()[1], "volume": 7}])
    assert times(found) == [0, 1, 2, 3, 4]
    assert found.columns[5, 1] == 7
    assert found.dropped == 1
    assert "left out 1 bar followed by another of the same time" in found.note


def test_invalid_bar_does_not_replace_a_valid_one_of_the_same_time() -> None:
    found = parse([*bars(), {**bars()[4], "low": -1}])
    assert found.columns[3, 4] == 13.5
    assert (found.dropped, len(times(found))) == (1, 5)


def test_unsorted_bars_are_sorted_and_noted() -> None:
    found = parse(bars()[::-1])
    assert np.array_equal(found.columns, parse(bars()).columns)
    assert (found.dropped, found.note) == (0, "put in order of time")


def test_gaps_are_counted_and_not_filled() -> None:
    found = parse([bar for place, bar in enumerate(bars(12)) if place not in (3, 4, 8)])
    assert times(found) == [0, 1, 2, 5, 6, 7, 9, 10, 11]
    assert (found.gaps, found.dropped, found.note) == (2, 0, "")


faults = st.sampled_from([{}, {"low": 0}, {"volume": -1}, {"high": 1}, {"time": START_MS}])


@given(st.lists(faults, min_size=3, max_size=12), st.integers(1, 12))
def test_later_bars_never_change_which_earlier_bars_are_kept(given: list[dict[str, Any]], cut: int) -> None:
    found = [{**bar, **fault} for bar, fault in zip(bars(len(given)), given, strict=True)]
    end = START_MS + cut * QUARTER_MS
    try:
        whole, early = parse(found), parse([bar for bar in found if bar["time"] < end])
    except CandleFileError:
        return
    assert np.array_equal(whole.columns[:, whole.columns[0] < end], early.columns)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*FIELDS, "data"]), inner),
)


@given(json_values.map(lambda value: json.dumps(value).encode()) | st.binary())
@example(b'{"data": {"data": []}}')
@example(b'[{"time": 1e999}]')
def test_any_bytes_are_parsed_or_refused(content: bytes) -> None:
    try:
        found = parse(content)
    except CandleFileError:
        return
    assert np.isfinite(found.columns).all()


@pytest.mark.parametrize("text", ["1_000", "١٢", " 12", "12\n", "0x10", "1e", ""])
def test_strings_that_only_python_parses_as_numbers_are_refused(text: str) -> None:
    bar = {"time": "1768838400000", "open": "1", "high": "1e6", "low": "1", "close": "2.5", "volume": text}
    with pytest.raises(CandleFileError, match="volume"):
        parse_bars(orjson.dumps([bar]), 900_000)


@pytest.mark.parametrize("field", ["high", "volume"])
def test_numbers_above_the_maximum_are_refused(field: str) -> None:
    bar = {"time": 1768838400000, "open": 1, "high": 2, "low": 1, "close": 2, "volume": 3} | {field: 1e300}
    with pytest.raises(CandleFileError, match=f"{field} is 1e\\+300"):
        parse_bars(orjson.dumps([bar]), 900_000)


def test_byte_order_mark_is_ignored() -> None:
    bar = {"time": 1768838400000, "open": 1, "high": 2, "low": 1, "close": 2, "volume": 3}
    assert parse_bars(b"\xef\xbb\xbf" + orjson.dumps([bar]), 900_000).columns.shape[1] == 1
