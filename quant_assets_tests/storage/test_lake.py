"""Tables and documents are written whole, cached, and never read damaged, in a folder and in an object store."""

from __future__ import annotations

import gzip
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.storage.lake import DOCUMENT_SUFFIX, Lake, LakeError, compress_document
from quant_assets.storage.objects import LocalObjectStore
from quant_assets_tests.storage.places import BUCKET, PLACES, Place

TABLE = pd.DataFrame(
    {"name": pd.Categorical(["a", "a", "b"]), "text": ["x", "", "z"], "number": [1.5, float("nan"), 2]}
)
MARKETS = pd.DataFrame({"exchange": ["okx", "okx", "gate"], "symbol": ["A", "B", "A"], "close": [1.0, 2.0, 3.0]})
CANDLES = "candles.parquet"
LAST = Window(datetime(2026, 1, 19, 17, 0, tzinfo=UTC))


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(request.param, tmp_path / "lake")


@pytest.fixture
def lake(place: Place) -> Lake:
    return Lake(place.objects)


@pytest.fixture
def local(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def window(back: int) -> str:
    """Return the key of an earlier window."""
    return Window(LAST.end - back * WINDOW_LENGTH).key


def test_table_is_read_as_it_was_written(place: Place, lake: Lake) -> None:
    for key, partition in ((["candles"], None), (["signals", "legacy"], "2026-01-19-16:45")):
        assert lake.read(key, partition) is None
        assert not lake.has(key, partition)
        lake.write(key, partition, TABLE)
        for reader in (lake, Lake(place.reopened())):
            pd.testing.assert_frame_equal(reader.read(key, partition), TABLE)
            assert reader.has(key, partition)


def test_changed_table_replaces_the_old_one(place: Place, lake: Lake) -> None:
    for table in (TABLE, TABLE[:1], TABLE[:1], TABLE):
        lake.write(["candles"], None, table)
        for reader in (lake, Lake(place.reopened())):
            pd.testing.assert_frame_equal(reader.read(["candles"]), table)


def test_table_that_cannot_be_stored_leaves_the_old_one(place: Place, lake: Lake) -> None:
    lake.write(["candles"], None, TABLE)
    with pytest.raises(ValueError, match="mixed"):
        lake.write(["candles"], None, pd.DataFrame({"mixed": [1, "x", {}]}))
    for reader in (lake, Lake(place.reopened())):
        pd.testing.assert_frame_equal(reader.read(["candles"]), TABLE)


def test_objects_are_where_other_versions_look_for_them(place: Place, lake: Lake) -> None:
    lake.write(["candles"], None, TABLE)
    lake.write(["signals", "legacy"], "2026-01-19-16:45", TABLE)
    lake.write_document(["master_feed"], "2026-01-19-16:45", compress_document(b"{}"))
    assert {stored.name for stored in place.objects.listing()} == {
        "candles.parquet",
        "signals/legacy/2026-01-19-1645.parquet",
        "master_feed/2026-01-19-1645.json.gz",
    }


def test_unchanged_table_is_not_written_again(local: Lake, tmp_path: Path) -> None:
    local.write(["candles"], None, TABLE)
    before = (tmp_path / CANDLES).stat()
    local.write(["candles"], None, TABLE.copy())
    assert (tmp_path / CANDLES).stat() == before
    local.write(["candles"], None, TABLE.assign(number=[1.5, float("nan"), 3]))
    assert (tmp_path / CANDLES).stat().st_ino != before.st_ino


def test_unchanged_file_is_not_read_again(local: Lake, tmp_path: Path) -> None:
    local.write(["candles"], None, TABLE)
    state = (tmp_path / CANDLES).stat()
    (tmp_path / CANDLES).write_bytes(b"x" * state.st_size)
    os.utime(tmp_path / CANDLES, ns=(state.st_atime_ns, state.st_mtime_ns))
    pd.testing.assert_frame_equal(local.read(["candles"]), TABLE)


def test_table_replaced_by_another_process_is_read_and_written_again(place: Place, lake: Lake) -> None:
    lake.write(["candles"], None, TABLE)
    Lake(place.reopened()).write(["candles"], None, TABLE[:1])
    pd.testing.assert_frame_equal(lake.read(["candles"]), TABLE[:1])
    Lake(place.reopened()).write(["candles"], None, TABLE[:2])
    lake.write(["candles"], None, TABLE[:1])
    pd.testing.assert_frame_equal(Lake(place.reopened()).read(["candles"]), TABLE[:1])


def test_deleted_table_is_missing_and_written_again(place: Place, lake: Lake) -> None:
    lake.write(["candles"], None, TABLE)
    place.objects.delete(CANDLES)
    assert lake.read(["candles"]) is None
    lake.write(["candles"], None, TABLE)
    place.objects.delete(CANDLES)
    lake.write(["candles"], None, TABLE)
    assert place.objects.exists(CANDLES)


def test_changing_a_read_table_does_not_change_the_cache(place: Place, lake: Lake) -> None:
    lake.write(["candles"], None, TABLE)
    for reader in (lake, Lake(place.reopened())):
        first = reader.read(["candles"])
        assert first is not None
        first["number"] = 0.0
        pd.testing.assert_frame_equal(reader.read(["candles"]), TABLE)


def test_changed_value_on_disk_is_reported_as_damage(place: Place, lake: Lake) -> None:
    numbers = np.random.default_rng(1).normal(size=500)
    lake.write(["candles"], None, pd.DataFrame({"number": numbers}))
    content = place.objects.get(CANDLES)
    assert content is not None
    at = content.index(numbers[250].tobytes())
    for position in range(at - 500, at + 500, 7):
        place.objects.put(CANDLES, flipped(content, position))
        with pytest.raises(LakeError, match=r"candles\.parquet is damaged"):
            Lake(place.reopened()).read(["candles"])


@pytest.mark.slow
def test_damage_anywhere_gives_a_table_or_an_error_that_names_it(local: Lake, tmp_path: Path) -> None:
    local.write(["candles"], None, TABLE)
    content = (tmp_path / CANDLES).read_bytes()
    for position in range(len(content)):
        (tmp_path / CANDLES).write_bytes(flipped(content, position, (1, 0x80, 0xFF)[position % 3]))
        try:
            assert Lake(tmp_path).read(["candles"]) is not None
        except LakeError as error:
            assert "candles.parquet is damaged" in str(error)  # noqa: PT017 - some changes are harmless


def flipped(content: bytes, place: int, change: int = 0xFF) -> bytes:
    return content[:place] + bytes([content[place] ^ change]) + content[place + 1 :]


def test_table_written_during_a_read_is_not_cached_as_read(tmp_path: Path) -> None:
    other = Lake(tmp_path)
    other.write(["candles"], None, TABLE)

    class SlowReads(LocalObjectStore):
        """A folder in which another process writes a table between its opening and its reading."""

        def open(self, name: str) -> Any:
            opened = super().open(name)
            other.write(["candles"], None, TABLE[:1])
            return opened

    lake = Lake(SlowReads(tmp_path))
    pd.testing.assert_frame_equal(lake.read(["candles"]), TABLE)
    pd.testing.assert_frame_equal(lake.read(["candles"]), TABLE[:1])


def test_rows_of_one_market_are_read(lake: Lake) -> None:
    lake.write(["candles"], None, MARKETS)
    lake.write(["open_interest"], window(0), MARKETS[1:])
    found = lake.read_market(["candles"], None, "okx", "A")
    assert found is not None
    assert found.column_names == ["exchange", "symbol", "close"]
    assert found.to_pylist() == [{"exchange": "okx", "symbol": "A", "close": 1.0}]
    partition = lake.read_market(["open_interest"], window(0), "okx", "A")
    assert partition is not None
    assert partition.num_rows == 0


def test_table_that_the_system_cannot_read_is_not_called_damaged(tmp_path: Path) -> None:
    """Nobody is told to delete it."""
    lake = Lake(tmp_path)
    (tmp_path / "candles.parquet").mkdir()
    (tmp_path / "master_feed").mkdir()
    (tmp_path / "master_feed" / f"{window(0).replace(':', '')}.json.gz").mkdir()
    with pytest.raises(LakeError, match=r"candles\.parquet cannot be read \((?!.*delete it)"):
        lake.read(["candles"])
    with pytest.raises(LakeError, match=r"json\.gz cannot be read \((?!.*delete it)"):
        lake.read_document(["master_feed"], window(0))


def test_market_of_a_missing_or_damaged_table_is_none(place: Place, lake: Lake) -> None:
    assert lake.read_market(["candles"], None, "okx", "A") is None
    lake.write(["candles"], None, TABLE)  # a table without the columns of a market
    assert lake.read_market(["candles"], None, "okx", "A") is None
    lake.write(["candles"], None, MARKETS)
    content = place.objects.get(CANDLES)
    assert content is not None
    place.objects.put(CANDLES, content[:-20])
    assert lake.read_market(["candles"], None, "okx", "A") is None


@pytest.mark.parametrize("back", [0, 1, 7, 8, 9, 96 * 20])
def test_newest_partition_is_found_however_old_it_is(lake: Lake, back: int) -> None:
    for number, age in enumerate((back + 3, back, -1)):
        lake.write(["open_interest"], window(age), pd.DataFrame({"number": [number]}))
    lake.write(["open_interest", "other"], window(0), pd.DataFrame({"number": [9]}))
    assert lake.newest_undamaged(["open_interest"], window(0))["number"].tolist() == [1]


@pytest.mark.parametrize("back", [0, 5, 30])
def test_damaged_newest_partition_is_skipped(place: Place, lake: Lake, back: int) -> None:
    for number, age in enumerate((back + 96, back)):
        lake.write(["open_interest"], window(age), pd.DataFrame({"number": [number]}))
    place.objects.put(f"open_interest/{window(back).replace(':', '')}.parquet", b"damaged")
    assert lake.newest_undamaged(["open_interest"], window(0))["number"].tolist() == [0]


def test_no_partition_up_to_a_window_is_an_empty_table(lake: Lake) -> None:
    assert lake.newest_undamaged(["open_interest"], window(0)).empty
    lake.write(["open_interest"], window(-1), TABLE)
    assert lake.newest_undamaged(["open_interest"], window(0)).empty


def test_recent_partition_is_found_without_a_listing(tmp_path: Path) -> None:
    place = Place("object store", tmp_path)
    lake = Lake(place.objects)
    lake.write(["open_interest"], window(7), TABLE)
    assert len(lake.newest_undamaged(["open_interest"], window(0))) == len(TABLE)
    assert place.memory.listings == 0
    assert len(lake.newest_undamaged(["open_interest"], window(-1))) == len(TABLE)
    assert place.memory.listings == 1


def test_partitions_are_listed_newest_first(place: Place, lake: Lake) -> None:
    assert lake.partitions(["master_feed"], DOCUMENT_SUFFIX) == []
    for back in (3, 0, 97):
        lake.write_document(["master_feed"], window(back), compress_document(b"{}"))
    lake.write(["master_feed"], window(1), TABLE)
    for name in ("notes", "2026-01-19-1646", "2026-1-19-1645", "other/2026-01-19-1645"):
        place.objects.put(f"master_feed/{name}{DOCUMENT_SUFFIX}", b"{}")
    assert lake.partitions(["master_feed"], DOCUMENT_SUFFIX) == [window(0), window(3), window(97)]
    assert lake.partitions(["master_feed"]) == [window(1)]


def test_newest_tables_of_several_windows_are_those_of_each_window_alone(place: Place, lake: Lake) -> None:
    for back in (1, 4, 97):
        lake.write(["open_interest"], window(back), TABLE.assign(back=back))
    place.objects.put(f"open_interest/{window(4).replace(':', '')}.parquet", b"damaged")
    place.objects.put("open_interest/notes.parquet", b"no window")
    windows = [window(back) for back in (100, 97, 50, 4, 2, 1, 0)]
    found = dict(lake.newest_of_each(["open_interest"], windows))
    assert list(found) == windows
    for key in windows:
        pd.testing.assert_frame_equal(found[key], lake.newest_undamaged(["open_interest"], key))
    assert [int(table["back"].iloc[0]) if len(table) else 0 for table in found.values()] == [0, 97, 97, 97, 97, 1, 1]


def test_size_of_a_table_is_returned_also_if_it_is_not_written_again(place: Place, lake: Lake) -> None:
    written = lake.write(["candles"], None, TABLE)
    assert written == place.objects.size(CANDLES) > 0
    assert lake.write(["candles"], None, TABLE) == written


def test_document_is_read_as_it_was_written(place: Place, lake: Lake) -> None:
    assert lake.read_document(["master_feed"], window(0)) is None
    assert not lake.has(["master_feed"], window(0))
    for content in (b'{"signals": []}', b"{}"):
        lake.write_document(["master_feed"], window(0), compress_document(content))
        assert Lake(place.reopened()).read_document(["master_feed"], window(0)) == content
    assert lake.has(["master_feed"], window(0))
    assert place.objects.get(f"master_feed/2026-01-19-1645{DOCUMENT_SUFFIX}") == gzip.compress(b"{}", mtime=0)


def test_damaged_document_is_an_error_that_names_it(place: Place, lake: Lake) -> None:
    lake.write_document(["master_feed"], window(0), compress_document(b'{"signals": []}' * 100))
    name = f"master_feed/2026-01-19-1645{DOCUMENT_SUFFIX}"
    content = place.objects.get(name)
    assert content is not None
    for damaged in (content[:-9], content[:5], b"{}", flipped(content, 30)):
        place.objects.put(name, damaged)
        with pytest.raises(LakeError, match=rf"{name} is damaged"):
            lake.read_document(["master_feed"], window(0))


def test_place_of_a_table_is_described_for_messages(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    assert lake.describe(["candles"]) == str(tmp_path / "candles.parquet")
    assert lake.describe(["signals", "legacy"], window(0)) == str(tmp_path / "signals/legacy/2026-01-19-1645.parquet")
    assert lake.describe_partitions(["signals", "legacy"]) == str(tmp_path / "signals/legacy")
    elsewhere = Lake(Place("object store", tmp_path).objects)
    assert elsewhere.describe(["candles"]).endswith(f"://{BUCKET}/candles.parquet")
