"""A scan whose tables are in an object store, beside one whose tables are in the data folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from quant_assets.signals import discover_strategies
from quant_assets.storage.lake import DOCUMENT_SUFFIX, Lake
from quant_assets_tests.s3 import BUCKET, SECRET, s3_server
from quant_assets_tests.world import World, environment, kept_in_memory

URL = f"s3://{BUCKET}/lake"


@pytest.fixture(scope="module")
def scanned(world: World) -> Iterator[World]:
    with s3_server() as server, environment(**server.environment), kept_in_memory(world) as kept:
        kept.scan("folder")
        kept.scan("urls", lake_url=URL)
        yield kept


def test_scan_into_s3_gives_the_tables_of_one_into_a_folder(scanned: World) -> None:
    folder, s3 = Lake(scanned.settings("folder").lake_dir), Lake(URL)
    for strategy in discover_strategies().strategies:
        key = ["signals", strategy.key]
        expected, found = (lake.read(key, scanned.window.key) for lake in (folder, s3))
        assert expected is not None
        assert found is not None
        assert expected.equals(found)
    stored = [sorted(each.name for each in lake.objects.listing()) for lake in (folder, s3)]
    assert stored[0] == stored[1]


def test_scan_into_s3_leaves_no_table_in_the_data_folder(scanned: World) -> None:
    assert not scanned.settings("urls").lake_dir.exists()


def test_published_feed_is_the_one_in_s3(scanned: World) -> None:
    published = scanned.settings("urls").feed_path.read_bytes()
    assert Lake(URL).read_document(["master_feed"], scanned.window.key) == published
    assert orjson.loads(published)["window"] == scanned.window.key
    assert Lake(URL).describe(["master_feed"], scanned.window.key, DOCUMENT_SUFFIX).startswith(f"{URL}/master_feed/")


def test_secret_of_the_object_store_is_in_no_file(scanned: World) -> None:
    files = [path for path in Path(scanned.folder / "urls").rglob("*") if path.is_file()]
    assert files
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []
