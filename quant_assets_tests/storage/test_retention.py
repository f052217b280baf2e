"""Old files are removed; newer files and files of others are kept."""

from __future__ import annotations

import os
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from quant_assets.common.windows import Window
from quant_assets.derivatives.store import DerivativesStore, Fetched
from quant_assets.storage.lake import Lake, compress_document
from quant_assets.storage.retention import (
    Removed,
    RetentionError,
    RetentionPolicy,
    load_retention,
    prune_lake,
    prune_temporary_files,
    size_of_lake,
)
from quant_assets_tests.storage.places import PLACES, Place

NOW = datetime(2026, 3, 1, 12, 7, tzinfo=UTC)
POLICY = RetentionPolicy(windows_days=10, bars_days=20, runs_days=5)
TABLE = pd.DataFrame({"value": [1.0, 2.0]})


def window(days_ago: float) -> Window:
    return Window.last_complete(NOW - timedelta(days=days_ago))


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(request.param, tmp_path / "lake")


def test_only_tables_and_feeds_of_old_windows_are_removed(place: Place) -> None:
    lake = Lake(place.objects)
    for days in (0, 9.9, 10.1, 40):
        lake.write(["signals", "legacy"], window(days).key, TABLE)
        lake.write_document(["master_feed"], window(days).key, compress_document(b"{}"))
    lake.write(["candles"], None, TABLE)
    foreign = ["notes.txt", "2020-01-01.parquet", "2020-01-01-0000.csv", "2020-1-1-0000.parquet"]
    for name in foreign:
        place.objects.put(name, b"mine")
    for stored in list(place.objects.listing()):
        place.set_time(stored.name, 0)
    lake.write(["signals", "legacy"], window(50).key, TABLE)  # an old window, computed now
    replayed = f"signals/legacy/{window(50).key.replace(':', '')}.parquet"
    place.set_time(replayed, NOW.timestamp() - 9.9 * 86_400)
    before = size_of_lake(lake)
    removed = prune_lake(lake, NOW, POLICY)
    assert place.objects.exists(replayed)
    assert removed.files == 4
    assert removed.size == before - size_of_lake(lake) > 0
    for days, stays in ((0, True), (9.9, True), (10.1, False), (40, False)):
        assert lake.has(["signals", "legacy"], window(days).key) is stays
        assert lake.has(["master_feed"], window(days).key) is stays
    assert lake.read(["candles"]) is not None
    assert all(place.objects.exists(name) for name in foreign)
    assert prune_lake(lake, NOW, POLICY).files == 0


def test_object_of_unknown_age_is_kept(tmp_path: Path) -> None:
    place = Place("object store", tmp_path)
    lake = Lake(place.objects)
    lake.write(["features"], window(40).key, TABLE)
    assert prune_lake(lake, NOW, POLICY).files == 0
    place.set_time(f"features/{window(40).key.replace(':', '')}.parquet", 0)
    assert prune_lake(lake, NOW, POLICY).files == 1


def test_temporary_files_are_removed_after_an_hour(tmp_path: Path) -> None:
    (tmp_path / "lake" / "features").mkdir(parents=True)
    for folder in (tmp_path, tmp_path / "lake", tmp_path / "lake" / "features"):
        for name, age in ((".old", 3700), (".young", 60), ("no_temporary_file", 3700)):
            file = folder / f"{name}.parquet.abc.tmp"
            file.write_bytes(b"half a table")
            moment = NOW.timestamp() - age
            os.utime(file, (moment, moment))
    assert prune_lake(Lake(tmp_path / "lake"), NOW, POLICY) == Removed(2, 24)
    assert prune_temporary_files(tmp_path, NOW) == Removed(1, 12)
    kept = sorted(file.name for file in tmp_path.rglob("*") if file.is_file())
    assert kept == [".young.parquet.abc.tmp"] * 3 + ["no_temporary_file.parquet.abc.tmp"] * 3


def test_pruned_bars_are_forgotten_with_their_fetched_ranges(tmp_path: Path) -> None:
    end = int(NOW.timestamp()) // 900 * 900
    limit = end - 86_400
    bars = [(end - 900 * n, 1.0, 1.0, 1.0, float(n)) for n in range(1, 193)]
    with closing(DerivativesStore(tmp_path / "derivatives.sqlite")) as store:
        store.add(Fetched("open_interest", ("A",), {"A": bars}, end - 172_800, end, end * 1000, simulated=False))
        store.save_report("2026-02-01-00:00", "{}")
        store.save_report("2026-03-01-11:45", "{}")
        assert store.prune(limit) == 96
        assert len(store.bars("open_interest", ["A"], 0, end)) == 96
        assert store.known_through("open_interest", ["A"], limit) == {"A": end}
        assert store.known_through("open_interest", ["A"], limit - 900) == {}
        assert store.load_report("2026-02-01-00:00") is None
        assert store.load_report("2026-03-01-11:45") == "{}"
        assert store.prune(limit) == 0


def test_pruning_shrinks_the_store(tmp_path: Path) -> None:
    path = tmp_path / "derivatives.sqlite"
    end = int(NOW.timestamp()) // 900 * 900
    with closing(DerivativesStore(path)) as store:
        for number in range(80):
            bars = [(end - 900 * n, 1.0, 1.0, 1.0, float(n)) for n in range(1, 400)]
            symbol = f"S{number}"
            store.add(Fetched("open_interest", (symbol,), {symbol: bars}, 0, end, end * 1000, simulated=False))
    before = path.stat().st_size
    with closing(DerivativesStore(path)) as store:
        store.prune(end - 9000)
    assert path.stat().st_size < before / 4


@pytest.mark.parametrize("text", ["windows_days = 1", "nights = 3", "windows_days = 'x'", "windows_days = = 3"])
def test_invalid_retention_file_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "retention.toml"
    path.write_text(text)
    with pytest.raises(RetentionError, match="retention"):
        load_retention(path)


def test_missing_retention_file_gives_defaults(tmp_path: Path) -> None:
    assert load_retention(tmp_path / "retention.toml") == RetentionPolicy()
    (tmp_path / "retention.toml").write_text("windows_days = 90")
    assert load_retention(tmp_path / "retention.toml").windows_days == 90
