"""An invalid candle file is reported with a reason and changes no other market.

Each test damages the 15m file of one market in a folder of valid files, and follows it from the folder to the feed.
"""

from __future__ import annotations

import gzip
import os
import socket
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from quant_assets.candles import read_candles
from quant_assets.candles.candle_file import MAX_FILE_BYTES
from quant_assets_tests.faults.folders import (
    as_unprivileged_user,
    content_of,
    feed_of,
    file_name,
    files_of,
    made,
    signals_without,
    write_files,
)
from quant_assets_tests.faults.seeding import rounds, seeded_random
from quant_assets_tests.signals.reference_inputs import LTF_MS, Bar

MARKETS = made(16)
FILES = files_of(MARKETS)
#: The market whose file is damaged. It has more than 200 bars, all of them closed.
VICTIM = next(market for market in MARKETS if market.symbol.startswith("W") and len(market.ltf) > 200)
NAME = file_name(VICTIM, "15m")
CONTENT = FILES[NAME]

Harm = Callable[[Path], Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of valid files without the file of the victim."""
    return write_files(tmp_path / "candles", {name: content for name, content in FILES.items() if name != NAME})


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the feed of the folder with all files valid."""
    return feed_of(write_files(tmp_path_factory.mktemp("sound"), FILES), MARKETS)


def rewritten(**changes: Any) -> bytes:
    """Return the victim's file with some fields of the last bar changed."""
    *bars, last = orjson.loads(CONTENT)
    return orjson.dumps([*bars, {**last, **changes}])


def in_seconds() -> bytes:
    return orjson.dumps([{**bar, "time": bar["time"] // 1000} for bar in orjson.loads(CONTENT)])


def nested(opening: bytes, closing: bytes, depth: int) -> bytes:
    return CONTENT.replace(b"}", b',"more":' + opening * depth + b"1" + closing * depth + b"}", 1)


CONTENTS = {
    "empty": (b"", "the file is empty"),
    "white space": (b" \n" * 50, "cut off"),
    "zeros, as a power cut leaves": (bytes(len(CONTENT)), "not JSON"),
    "binary": (seeded_random("binary").randbytes(5_000), "not UTF-8"),
    "packed": (gzip.compress(CONTENT), "not UTF-8"),
    "UTF-16": (CONTENT.decode().encode("utf-16"), "not UTF-8"),
    "UTF-16 without a mark": (CONTENT.decode().encode("utf-16-le"), "not JSON"),
    "a page of an error": (b"<!DOCTYPE html><title>502 Bad Gateway</title>", "not JSON"),
    "an answer of an error": (b'{"code":-1121,"msg":"Invalid symbol."}', 'an object without "data"'),
    "a list of no bars": (b"[]", "no bars in it"),
    "two files in one": (CONTENT + CONTENT, "not JSON"),
    "a line for each bar": (CONTENT[1:-1].replace(b"},{", b"}\n{"), "not JSON"),
    "arrays without end": (b"[" * 1_000_000, "depth limit"),
    "a field of arrays without end": (nested(b"[", b"]", 100_000), "depth limit"),
    "a field of objects without end": (nested(b'{"a":', b"}", 100_000), "depth limit"),
    "a number beyond all": (CONTENT.replace(b'"volume":', b'"volume":1e400,"was":', 1), "not finite"),
    "a number of 5,000 digits": (CONTENT.replace(b'"high":', b'"high":' + b"9" * 5_000, 1), "not"),
    "a volume that nobody trades": (rewritten(volume=1e19), "beyond anything that is traded"),
    "times in seconds": (in_seconds(), "look like seconds"),
    "a time of the past": (rewritten(time=0), "not between 2009 and 2100"),
    "a time between the bars": (rewritten(time=VICTIM.ltf[-1].time_ms + 1), "no opening time"),
    "prices of 0 alone": (
        content_of(bar._replace(open=0, high=0, low=0, close=0) for bar in VICTIM.ltf),
        "no bars left",
    ),
}


def assert_skipped_alone(folder: Path, sound: dict[str, Any], reason: str) -> None:
    """Assert that the victim's file is skipped for this reason, and that all other signals are unchanged."""
    feed = feed_of(folder, MARKETS)
    assert set(feed["stats"]["skipped"]) == {NAME}
    assert reason in feed["stats"]["skipped"][NAME]
    assert signals_without(feed, VICTIM.symbol) == signals_without(sound, VICTIM.symbol)


@pytest.mark.parametrize("kind", CONTENTS)
def test_file_with_invalid_content_is_named_and_skipped_alone(folder: Path, sound: dict[str, Any], kind: str) -> None:
    content, reason = CONTENTS[kind]
    (folder / NAME).write_bytes(content)
    assert_skipped_alone(folder, sound, reason)


def test_market_without_its_15m_file_has_insufficient_history(folder: Path, sound: dict[str, Any]) -> None:
    (folder / NAME).write_bytes(b"")
    reasons = [
        signal["details"]["reason"]
        for signal in feed_of(folder, MARKETS)["signals"]
        if signal["symbol"] == VICTIM.symbol
    ]
    assert reasons == ["insufficient_history"] * 3


def test_file_cut_anywhere_is_skipped_and_never_half_read(folder: Path) -> None:
    rng = seeded_random("cut")
    path = folder / NAME
    for _ in range(rounds(40, 600)):
        path.write_bytes(CONTENT[: rng.randrange(len(CONTENT))])
        files = read_candles(folder).files.set_index("file")
        assert (files.loc[NAME, "status"], files.loc[NAME, "bars"]) == ("skipped", 0)
        assert "cut off" in files.loc[NAME, "reason"] or files.loc[NAME, "size"] == 0
        assert (files.drop(NAME)["status"] == "read").all()


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.open(path.parent, os.O_RDONLY)
        try:
            listener.bind(f"/proc/self/fd/{here}/{path.name}")  # a socket's path must be short
        finally:
            os.close(here)


def a_device(path: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))  # /dev/zero
    except PermissionError:
        pytest.skip("not allowed to make a device")


def sparse(size: int) -> Harm:
    def make(path: Path) -> None:
        with path.open("wb") as file:
            try:
                file.truncate(size)
            except OSError:
                pytest.skip(f"this file system holds no file of {size:,} bytes")

    return make


def a_full_folder(path: Path) -> None:
    path.mkdir()
    (path / NAME).write_bytes(CONTENT)


def a_link_to_a_pipe(path: Path) -> None:
    os.mkfifo(path.with_name(".pipe"))
    path.symlink_to(".pipe")


def links_in_a_circle(path: Path) -> None:
    path.symlink_to(".other")
    path.with_name(".other").symlink_to(path.name)


ENTRIES: dict[str, tuple[Harm, str]] = {
    "a folder": (a_full_folder, "a folder, not a file"),
    "a pipe": (os.mkfifo, "not a regular file"),
    "a socket": (a_socket, "not a regular file"),
    "a device": (a_device, "not a regular file"),
    "a link to a device": (lambda path: path.symlink_to("/dev/zero"), "leaves the folder"),
    "a link to a pipe": (a_link_to_a_pipe, "not a regular file"),
    "a link to nothing": (lambda path: path.symlink_to("nothing.json"), "No such file"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "Too many levels"),
    "links in a circle": (links_in_a_circle, "Too many levels"),
    "a link out of the folder": (lambda path: path.symlink_to("/etc/passwd"), "leaves the folder"),
    "a gigabyte": (sparse(1 << 30), "more than the limit"),
    "a terabyte": (sparse(1 << 40), "more than the limit"),
    "a byte above the limit": (sparse(MAX_FILE_BYTES + 1), "more than the limit"),
}


@pytest.mark.usefixtures("fail_after_a_minute")
@pytest.mark.parametrize("kind", ENTRIES)
def test_entry_that_is_no_regular_file_is_named_and_skipped_alone(
    folder: Path, sound: dict[str, Any], kind: str
) -> None:
    make, reason = ENTRIES[kind]
    make(folder / NAME)
    assert_skipped_alone(folder, sound, reason)


def test_file_without_read_permission_is_named_and_skipped_alone(sound: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = write_files(Path(name), FILES)
        (folder / NAME).chmod(0)
        with as_unprivileged_user(folder):
            assert_skipped_alone(folder, sound, "Permission denied")


def shuffled() -> bytes:
    bars = list(VICTIM.ltf)
    seeded_random("shuffled").shuffle(bars)
    return content_of(bars)


HARMLESS = {
    "a byte order mark": b"\xef\xbb\xbf" + CONTENT,
    "an object around it": b'{"data":' + CONTENT + b"}",
    "bars backwards": content_of(VICTIM.ltf[::-1]),
    "bars in any order": shuffled(),
    "every bar twice": content_of([bar for bar in VICTIM.ltf for _ in range(2)]),
    "two overlapping exports": content_of([*VICTIM.ltf[:150], *VICTIM.ltf[100:]]),
    "an older state of the last bar before it": content_of(
        [*VICTIM.ltf[:-1], VICTIM.ltf[-1]._replace(volume=0.0), VICTIM.ltf[-1]]
    ),
    "line breaks and spaces": CONTENT.replace(b",", b" ,\r\n\t"),
    "fields that nobody knows": CONTENT.replace(b"}", b',"trades":[{"a":null}],"x":"\\u0000"}'),
}


@pytest.mark.parametrize("kind", HARMLESS)
def test_harmless_variations_of_a_file_give_the_same_signals(folder: Path, sound: dict[str, Any], kind: str) -> None:
    (folder / NAME).write_bytes(HARMLESS[kind])
    feed = feed_of(folder, MARKETS)
    assert feed["stats"]["skipped"] == {}
    assert signals_without(feed) == signals_without(sound)


BROKEN_BARS: dict[str, Callable[[Bar], Bar]] = {
    "a price of 0": lambda bar: bar._replace(low=0.0),
    "prices of 0": lambda bar: bar._replace(open=0.0, high=0.0, low=0.0, close=0.0),
    "a negative price": lambda bar: bar._replace(low=-bar.low),
    "a negative volume": lambda bar: bar._replace(volume=-1.0),
    "a close above the high": lambda bar: bar._replace(close=bar.high * 2.0),
}


@pytest.mark.parametrize("kind", BROKEN_BARS)
def test_invalid_bars_are_ignored_and_counted(folder: Path, kind: str) -> None:
    places = set(seeded_random(kind).sample(range(len(VICTIM.ltf) - 1), 5))
    write_files(
        folder, {NAME: content_of(BROKEN_BARS[kind](bar) if i in places else bar for i, bar in enumerate(VICTIM.ltf))}
    )
    broken = feed_of(folder, MARKETS)
    assert read_candles(folder).files.set_index("file").loc[NAME, "dropped"] == 5
    write_files(folder, {NAME: content_of(bar for i, bar in enumerate(VICTIM.ltf) if i not in places)})
    assert signals_without(broken) == signals_without(feed_of(folder, MARKETS))


def test_gap_of_a_day_is_counted_and_never_filled(folder: Path, sound: dict[str, Any]) -> None:
    day = slice(len(VICTIM.ltf) - 120, len(VICTIM.ltf) - 24)
    bars = list(VICTIM.ltf)
    del bars[day]
    assert bars[day.start].time_ms - bars[day.start - 1].time_ms == 97 * LTF_MS
    (folder / NAME).write_bytes(content_of(bars))
    row = read_candles(folder).files.set_index("file").loc[NAME]
    assert (row["gaps"], row["bars"], row["dropped"]) == (1, len(bars), 0)
    feed = feed_of(folder, MARKETS)
    assert signals_without(feed, VICTIM.symbol) == signals_without(sound, VICTIM.symbol)
    assert {len(found["signals"]) for found in (feed, sound)} == {3 * len(MARKETS)}
