"""Publishing: whole or not at all, and never backwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pandas as pd
import pytest

from quant_assets.feed import publish
from quant_assets.files import replace_file
from quant_assets.lake import Lake
from quant_assets.windows import LENGTH, Window

WINDOW = Window(datetime(2026, 1, 19, 17, 0, tzinfo=UTC))

NOW = datetime(2026, 2, 1, tzinfo=UTC)


def content_of(window: Window, note: str = "") -> bytes:
    return orjson.dumps({"window": window.key, "signals": [], "note": note})


def test_a_newer_window_replaces_an_older_and_the_same_window_itself(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "feed.json"
    assert publish(content_of(WINDOW), WINDOW, path, NOW)
    assert publish(content_of(WINDOW, "again"), WINDOW, path, NOW)
    newer = Window(WINDOW.end + LENGTH)
    assert publish(content_of(newer), newer, path, NOW)
    assert path.read_bytes() == content_of(newer)


def test_an_older_window_leaves_the_feed_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "feed.json"
    publish(content_of(WINDOW), WINDOW, path, NOW)
    older = Window(WINDOW.end - LENGTH)
    assert not publish(content_of(older), older, path, NOW)
    assert path.read_bytes() == content_of(WINDOW)


def test_a_feed_of_the_future_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "feed.json"
    path.write_bytes(b'{"window": "2099-01-01-00:00"}')
    assert publish(content_of(WINDOW), WINDOW, path, NOW)


@pytest.mark.parametrize(
    "there", [b'{"window": "9999-12-31-23:45"}', b"", b"[]", b'{"window": "yester', b"null", b'{"window": 7}']
)
def test_what_is_no_feed_is_replaced(tmp_path: Path, there: bytes) -> None:
    path = tmp_path / "feed.json"
    path.write_bytes(there)
    assert publish(content_of(WINDOW), WINDOW, path, NOW)
    assert path.read_bytes() == content_of(WINDOW)


def test_a_write_that_fails_leaves_the_old_file_and_no_rubbish(tmp_path: Path) -> None:
    path = tmp_path / "feed.json"
    replace_file(path, b"old")
    with pytest.raises(TypeError):
        replace_file(path, "no bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["feed.json"]


def test_a_reader_never_sees_half_a_file_even_when_the_writer_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "feed.json"
    replace_file(path, b"x" * 3_000_000)
    program = (
        "import sys, itertools; from pathlib import Path; from quant_assets.files import replace_file\n"
        f"for n in itertools.count(): replace_file(Path({str(path)!r}), bytes([97 + n % 26]) * 3_000_000)\n"
    )
    for attempt in range(3):
        writer = subprocess.Popen([sys.executable, "-c", program])
        latest = time.monotonic() + 0.5 + 0.037 * attempt
        while time.monotonic() < latest:
            content = path.read_bytes()
            assert len(content) == 3_000_000
            assert content.count(content[:1]) == 3_000_000
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        content = path.read_bytes()
        assert content.count(content[:1]) == len(content) == 3_000_000


def test_whoever_is_reading_keeps_the_feed_table_or_document_that_was_there(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")

    def write(number: int) -> None:
        publish(content_of(WINDOW, str(number)), WINDOW, tmp_path / "feed.json", NOW)
        lake.write(["features"], WINDOW.key, pd.DataFrame({"number": [number]}))
        lake.write_document(["master_feed"], WINDOW.key, str(number).encode())

    write(1)
    files = [file for file in tmp_path.rglob("*") if file.is_file() and file.suffix != ".lock"]
    with ExitStack() as stack:
        reading = {file: stack.enter_context(file.open("rb")) for file in files}
        before = {file: file.read_bytes() for file in files}
        write(2)
        assert len(files) == 3
        for file, reader in reading.items():
            assert reader.read() == before[file] != file.read_bytes()
