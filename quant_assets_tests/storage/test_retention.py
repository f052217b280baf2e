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
from quant_assets.storage.lake import DOCUMENT_SUFFIX, Lake
from quant_assets.storage.retention import RetentionError, RetentionPolicy, load_retention, prune_lake, size_of

NOW = datetime(2026, 3, 1, 12, 7, tzinfo=UTC)
POLICY = RetentionPolicy(windows_days=10, bars_days=20, runs_days=5)
TABLE = pd.DataFrame({"value": [1.0, 2.0]})


def window(days_ago: float) -> Window:
    return Window.last_complete(NOW - timedelta(days=days_ago))


def test_only_tables_and_feeds_of_old_windows_are_removed(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    for days in (0, 9.9, 10.1, 40):
        lake.write(["signals", "legacy"], window(days).key, TABLE)
        lake.write_document(["master_feed"], window(days).key, b"{}")
    lake.write(["candles"], None, TABLE)
    foreign = [tmp_path / "lake" / name for name in ("notes.txt", "2020-01-01.parquet", "2020-01-01-0000.csv")]
    for file in foreign:
        file.write_text("mine")
    for file in lake.root.rglob("*"):
        os.utime(file, (0, 0))
    replayed = lake.write(["signals", "legacy"], window(50).key, TABLE)  # an old window, computed now
    written = NOW.timestamp() - 9.9 * 86_400
    os.utime(replayed, (written, written))
    before = size_of(tmp_path)
    removed = prune_lake(lake.root, NOW, POLICY)
    assert replayed.exists()
    assert removed.files == 4
    assert removed.size == before - size_of(tmp_path) > 0
    for days, stays in ((0, True), (9.9, True), (10.1, False), (40, False)):
        assert lake.path(["signals", "legacy"], window(days).key).exists() is stays
        assert lake.path(["master_feed"], window(days).key, DOCUMENT_SUFFIX).exists() is stays
    assert lake.read(["candles"]) is not None
    assert all(file.exists() for file in foreign)
    assert prune_lake(lake.root, NOW, POLICY).files == 0


def test_temporary_files_are_removed_after_an_hour(tmp_path: Path) -> None:
    for name, age in (("old", 3700), ("young", 60)):
        file = tmp_path / f".{name}.parquet.abc.tmp"
        file.write_bytes(b"half a table")
        moment = NOW.timestamp() - age
        os.utime(file, (moment, moment))
    assert prune_lake(tmp_path, NOW, POLICY).files == 1
    assert [file.name for file in tmp_path.iterdir()] == [".young.parquet.abc.tmp"]


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
        for number in range(40):
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
