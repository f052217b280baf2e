"""Objects in S3, by pyarrow's own client, against a local server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from quant_assets.common.files import UnreachableObject, WriteError
from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.storage.arrow_tables import ArrowTables
from quant_assets.storage.lake import Lake, LakeError, compress_document
from quant_assets.storage.objects import ObjectStore, open_objects
from quant_assets_tests.s3 import BUCKET, S3, SECRET, s3_server

NAME = "master_feed/2026-01-19-1645.json.gz"
#: Larger than the parts in which pyarrow uploads (10 MiB).
SEVERAL_PARTS = 21_000_000


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    with s3_server() as running:
        yield running


@pytest.fixture
def url(server: S3, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the URL of an empty prefix, with the environment of a client."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    server.requests.clear()
    before = replace(server)
    yield f"s3://{BUCKET}/{request.node.name.partition('[')[0]}"
    server.refuses, server.before = before.refuses, before.before


@pytest.fixture
def objects(url: str) -> ObjectStore:
    return open_objects(url)


def test_object_is_read_as_it_was_put(objects: ObjectStore) -> None:
    for content in (b"first", b"second, and longer", b"", os.urandom(SEVERAL_PARTS)):
        objects.put(NAME, content)
        assert objects.get(NAME) == content
        assert objects.exists(NAME)
        assert objects.size(NAME) == len(content)
    assert [stored.name for stored in objects.listing("master_feed")] == [NAME]
    assert not objects.exists("master_feed")
    assert objects.delete(NAME)
    assert not objects.delete(NAME)
    assert objects.get(NAME) is None
    assert objects.version(NAME) is None


def test_object_is_put_by_one_request_and_read_by_two(objects: ObjectStore, server: S3) -> None:
    objects.put(NAME, b"content")
    objects.get(NAME)
    assert [method for method, *_ in server.requests] == ["PUT", "HEAD", "GET"]


def test_version_is_known_and_changes_with_the_content(objects: ObjectStore) -> None:
    first, second = objects.put(NAME, b"first"), objects.put(NAME, b"second")
    assert None is not first != second
    assert objects.version(NAME) == second


@pytest.mark.parametrize("part", [1, 2, 3])
def test_failed_part_of_a_large_object_leaves_the_old_one(objects: ObjectStore, server: S3, part: int) -> None:
    objects.put(NAME, b"old")
    server.refuses = lambda method, path, query: f"partNumber={part}&" in query
    with pytest.raises(WriteError, match=f"{NAME} cannot be written"):
        objects.put(NAME, os.urandom(SEVERAL_PARTS))
    assert objects.get(NAME) == b"old"


def test_object_that_grows_while_it_is_read_is_read_whole(objects: ObjectStore, server: S3, url: str) -> None:
    objects.put(NAME, b"old")
    written = [b"new, and longer", b"newer, and longer again"]

    def replace_after_size_is_known(method: str, path: str, query: str) -> None:
        if method == "GET" and written:
            server.before = lambda *_: None
            objects.put(NAME, written.pop())
            server.before = replace_after_size_is_known

    server.before = replace_after_size_is_known
    assert open_objects(url).get(NAME) == b"new, and longer"
    assert not written


def test_object_without_a_plain_checksum_is_read_once_more_only_if_it_changed(objects: ObjectStore, server: S3) -> None:
    objects.put(NAME, os.urandom(SEVERAL_PARTS))
    server.requests.clear()
    objects.get(NAME)
    assert [method for method, *_ in server.requests] == ["HEAD", "GET", "HEAD"]


def test_refused_request_is_no_missing_or_damaged_object(objects: ObjectStore, server: S3, url: str) -> None:
    lake = Lake(url)
    lake.write(["candles"], None, pd.DataFrame({"close": [1.0]}))
    lake.write_document(["master_feed"], "2026-01-19-16:45", compress_document(b"{}"))
    server.refuses = lambda *_: True
    other = Lake(url)
    for read in (
        lambda: other.read(["candles"]),
        lambda: other.read_undamaged(["candles"]),
        lambda: other.read_market(["candles"], None, "BYBIT", "BTCUSDT"),
        lambda: other.read_document(["master_feed"], "2026-01-19-16:45"),
        lambda: other.has(["candles"]),
        lambda: other.partitions(["master_feed"]),
        lambda: ArrowTables(other, ["bars"], pa.schema([])).read("x"),
    ):
        with pytest.raises(UnreachableObject, match=rf"s3://{BUCKET}/\S+ cannot be reached \(.*ACCESS_DENIED") as found:
            read()
        assert SECRET not in str(found.value)


def test_damaged_object_is_named_with_its_address(objects: ObjectStore, url: str) -> None:
    objects.put("candles.parquet", b"no table")
    with pytest.raises(LakeError, match=rf"{url}/candles.parquet is damaged"):
        Lake(url).read(["candles"])


def test_table_that_was_just_written_is_not_fetched_again(url: str, server: S3) -> None:
    lake, table = Lake(url), pd.DataFrame({"close": [1.0, 2.0]})
    lake.write(["candles"], None, table)
    server.requests.clear()
    assert lake.read(["candles"]) is not None
    lake.write(["candles"], None, table)
    assert {method for method, *_ in server.requests} == {"HEAD"}
    Lake(url).write(["candles"], None, pd.DataFrame({"close": [3.0]}))
    found = lake.read(["candles"])
    assert found is not None
    assert found["close"].tolist() == [3.0]


def test_newest_window_is_found_without_a_listing(url: str, server: S3) -> None:
    lake, last = Lake(url), Window.of_key("2026-01-19-16:45")
    lake.write(["features"], Window(last.end - WINDOW_LENGTH).key, pd.DataFrame({"x": [1]}))
    server.requests.clear()
    assert lake.newest_window(["features"], last.key)[0] == "2026-01-19-16:30"
    assert all("list-type" not in query or "max-keys=1" in query for _, _, query in server.requests)


def test_file_url_is_the_folder_itself(tmp_path: Path) -> None:
    lake = Lake(tmp_path.as_uri())
    lake.write(["candles"], None, pd.DataFrame({"close": [1.0]}))
    assert (tmp_path / "candles.parquet").is_file()
