"""Publishing is atomic and never replaces a newer feed."""

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

from quant_assets.common.files import replace_file
from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.feed import Publication, StoredFeed, publish
from quant_assets.storage.lake import Lake, compress_document

WINDOW = Window(datetime(2026, 1, 19, 17, 0, tzinfo=UTC))

NOW = datetime(2026, 2, 1, tzinfo=UTC)


def feed_of(window: Window, note: str = "", newest_close_ms: int | None = None) -> StoredFeed:
    candles = {"newest_close_ms": newest_close_ms, "held_back": 0}
    feed = {"window": window.key, "published_at_ms": 1, "stats": {"candles": candles}, "signals": [], "note": note}
    found = StoredFeed.of(orjson.dumps(feed))
    assert found is not None
    return found


def test_newer_or_same_window_replaces_the_feed(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "feed.json"
    newer = feed_of(Window(WINDOW.end + WINDOW_LENGTH))
    for feed in (feed_of(WINDOW), feed_of(WINDOW, "again"), newer):
        assert publish(feed, path, NOW) is Publication.PUBLISHED
    assert path.read_bytes() == newer.content


def test_older_window_does_not_replace_the_feed(tmp_path: Path) -> None:
    path = tmp_path / "feed.json"
    publish(feed_of(WINDOW), path, NOW)
    assert publish(feed_of(Window(WINDOW.end - WINDOW_LENGTH)), path, NOW) is Publication.NEWER_WINDOW
    assert path.read_bytes() == feed_of(WINDOW).content


@pytest.mark.parametrize(
    ("existing", "new", "outcome"),
    [
        (900, 900, Publication.PUBLISHED),
        (900, 1800, Publication.PUBLISHED),
        (1800, 900, Publication.NEWER_CANDLES),
        (1800, None, Publication.NEWER_CANDLES),
        (None, 900, Publication.PUBLISHED),
    ],
)
def test_older_candles_do_not_replace_the_same_window(
    tmp_path: Path, existing: int | None, new: int | None, outcome: Publication
) -> None:
    path = tmp_path / "feed.json"
    publish(feed_of(WINDOW, newest_close_ms=existing), path, NOW)
    assert publish(feed_of(WINDOW, "again", new), path, NOW) is outcome
    assert (b"again" in path.read_bytes()) is (outcome is Publication.PUBLISHED)


def test_newer_window_replaces_the_feed_despite_older_candles(tmp_path: Path) -> None:
    path = tmp_path / "feed.json"
    publish(feed_of(WINDOW, newest_close_ms=1800), path, NOW)
    assert publish(feed_of(Window(WINDOW.end + WINDOW_LENGTH), "", 900), path, NOW) is Publication.PUBLISHED


def test_feed_of_a_future_window_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "feed.json"
    path.write_bytes(b'{"window": "2099-01-01-00:00"}')
    assert publish(feed_of(WINDOW), path, NOW) is Publication.PUBLISHED


@pytest.mark.parametrize(
    "content", [b'{"window": "9999-12-31-23:45"}', b"", b"[]", b'{"window": "yester', b"null", b'{"window": 7}']
)
def test_invalid_feed_file_is_replaced(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "feed.json"
    path.write_bytes(content)
    assert publish(feed_of(WINDOW), path, NOW) is Publication.PUBLISHED
    assert path.read_bytes() == feed_of(WINDOW).content


def test_failed_write_keeps_the_old_file_and_leaves_no_temp_file(tmp_path: Path) -> None:
    path = tmp_path / "feed.json"
    replace_file(path, b"old")
    with pytest.raises(TypeError):
        replace_file(path, "not bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["feed.json"]


def test_killed_writer_never_leaves_a_partial_file(tmp_path: Path) -> None:
    path = tmp_path / "feed.json"
    replace_file(path, b"x" * 3_000_000)
    program = (
        "import sys, itertools; from pathlib import Path; from quant_assets.common.files import replace_file\n"
        f"for n in itertools.count(): replace_file(Path({str(path)!r}), bytes([97 + n % 26]) * 3_000_000)\n"
    )
    for attempt in range(3):
        writer = subprocess.Popen([sys.executable, "-c", program])
        deadline = time.monotonic() + 0.5 + 0.037 * attempt
        while time.monotonic() < deadline:
            content = path.read_bytes()
            assert len(content) == 3_000_000
            assert content.count(content[:1]) == 3_000_000
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        content = path.read_bytes()
        assert content.count(content[:1]) == len(content) == 3_000_000


def test_open_readers_keep_the_replaced_content(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")

    def write(number: int) -> None:
        publish(feed_of(WINDOW, str(number)), tmp_path / "feed.json", NOW)
        lake.write(["features"], WINDOW.key, pd.DataFrame({"number": [number]}))
        lake.write_document(["master_feed"], WINDOW.key, compress_document(str(number).encode()))

    write(1)
    files = [file for file in tmp_path.rglob("*") if file.is_file() and file.suffix != ".lock"]
    with ExitStack() as stack:
        reading = {file: stack.enter_context(file.open("rb")) for file in files}
        before = {file: file.read_bytes() for file in files}
        write(2)
        assert len(files) == 3
        for file, reader in reading.items():
            assert reader.read() == before[file] != file.read_bytes()
