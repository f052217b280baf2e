"""Tests of the derivatives store."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from quant_assets.derivatives.store import DerivativesStore, Fetched, StoreError


def add(store: DerivativesStore, start: int, through: int, at_ms: int = 0, symbols: tuple[str, ...] = ("A",)) -> None:
    bars = {symbol: [(start, 1.0, 2.0)] for symbol in symbols}
    store.add(Fetched("liquidations", symbols, bars, start, through, at_ms, simulated=False))


def test_touching_ranges_are_merged_and_others_stay_separate(tmp_path: Path) -> None:
    store = DerivativesStore(tmp_path / "s.sqlite")
    add(store, 1000, 2000)
    add(store, 5000, 6000)
    assert store.known_through("liquidations", ["A", "B"], 1000) == {"A": 2000}
    assert store.known_through("liquidations", ["A"], 3000) == {"A": 2000}
    assert store.known_through("liquidations", ["A"], 5000) == {"A": 6000}
    add(store, 1900, 5000)
    assert store.known_through("liquidations", ["A"], 1000) == {"A": 6000}
    assert store.known_through("liquidations", ["A"], 999) == {}


def test_two_empty_responses_in_a_row_are_counted_until_data_comes(tmp_path: Path) -> None:
    store = DerivativesStore(tmp_path / "s.sqlite")

    def nothing(at_ms: int) -> None:
        store.add(Fetched("liquidations", ("A",), {}, 0, 900, at_ms, simulated=False))

    nothing(100)
    assert store.empty_twice(0)["liquidations"] == set()
    nothing(200)
    assert store.empty_twice(0)["liquidations"] == {"A"}
    assert store.empty_twice(150)["liquidations"] == set()
    assert store.empty_twice(0)["open_interest"] == set()
    add(store, 0, 900)
    assert store.empty_twice(0)["liquidations"] == set()


def test_bar_that_is_fetched_again_is_replaced(tmp_path: Path) -> None:
    store = DerivativesStore(tmp_path / "s.sqlite")
    for value in (1.0, 3.0):
        store.add(Fetched("liquidations", ("A",), {"A": [(900, value, 0.0)]}, 0, 1800, 0, simulated=False))
    assert store.bars("liquidations", ["A"], 0, 9000) == [("A", 900, 3.0, 0.0)]


def test_two_open_stores_see_each_others_responses(tmp_path: Path) -> None:
    one, other = DerivativesStore(tmp_path / "s.sqlite"), DerivativesStore(tmp_path / "s.sqlite")
    add(one, 1000, 2000)
    assert other.known_through("liquidations", ["A"], 1000) == {"A": 2000}
    add(other, 2000, 3000)
    assert one.known_through("liquidations", ["A"], 1000) == {"A": 3000}


def test_simulated_response_marks_the_store_permanently(tmp_path: Path) -> None:
    store = DerivativesStore(tmp_path / "s.sqlite")
    assert not store.simulated
    store.add(Fetched("liquidations", ("A",), {}, 0, 900, 0, simulated=True))
    assert DerivativesStore(tmp_path / "s.sqlite").simulated


def test_damaged_store_is_reported_with_a_remedy(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    path.write_bytes(b"this is no database, and never was" * 100)
    with pytest.raises(StoreError, match=r"s\.sqlite.*move it away"):
        DerivativesStore(path)


def test_store_of_a_newer_version_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    DerivativesStore(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="newer than this program"):
        DerivativesStore(path)


def test_response_that_fails_to_store_leaves_nothing_stored(tmp_path: Path) -> None:
    store = DerivativesStore(tmp_path / "s.sqlite")
    broken = {"A": [(900, 1.0, 2.0)], "B": [(900, 1.0)]}
    with pytest.raises(StoreError):
        store.add(Fetched("liquidations", ("A", "B"), broken, 0, 1800, 0, simulated=False))
    assert store.bars("liquidations", ["A", "B"], 0, 9000) == []
    assert store.known_through("liquidations", ["A", "B"], 0) == {}


def test_read_only_store_can_be_read_and_creates_no_file(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    with closing(DerivativesStore(path)) as store:
        add(store, 900, 1800)
    before = path.stat()
    with closing(DerivativesStore(path, read_only=True)) as reader:
        assert reader.bars("liquidations", ["A"], 0, 9000) == [("A", 900, 1.0, 2.0)]
        assert reader.known_through("liquidations", ["A"], 900) == {"A": 1800}
        assert list(tmp_path.iterdir()) == [path]
    assert list(tmp_path.iterdir()) == [path]
    assert path.stat().st_mtime_ns == before.st_mtime_ns


@pytest.mark.parametrize("there", [False, True], ids=["missing", "an empty file"])
def test_missing_read_only_store_is_empty_and_not_created(tmp_path: Path, there: bool) -> None:
    path = tmp_path / "store" / "s.sqlite"
    if there:
        path.parent.mkdir()
        path.touch()
    with closing(DerivativesStore(path, read_only=True)) as reader:
        assert reader.known_through("liquidations", ["A"], 0) == {}
        assert not reader.simulated
        assert reader.empty_twice(0)["liquidations"] == set()
    assert path.exists() == there
    assert path.parent.exists() == there


def test_read_only_store_reads_the_write_ahead_log_of_a_writer(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    with closing(DerivativesStore(path)) as writer:
        add(writer, 900, 1800)
        with closing(DerivativesStore(path, read_only=True)) as reader:
            assert reader.known_through("liquidations", ["A"], 900) == {"A": 1800}
            add(writer, 1800, 2700)
            assert reader.known_through("liquidations", ["A"], 900) == {"A": 2700}


@pytest.mark.parametrize("there", [False, True], ids=["missing at first", "closed at first"])
def test_read_only_store_sees_later_writes(tmp_path: Path, there: bool) -> None:
    path = tmp_path / "s.sqlite"
    if there:
        with closing(DerivativesStore(path)) as writer:
            add(writer, 900, 1800)
    with closing(DerivativesStore(path, read_only=True)) as reader:
        assert reader.known_through("liquidations", ["A"], 900) == ({"A": 1800} if there else {})
        with closing(DerivativesStore(path)) as writer:
            add(writer, 900, 2700)
        assert reader.known_through("liquidations", ["A"], 900) == {"A": 2700}


@pytest.mark.parametrize("there", [False, True], ids=["missing", "there"])
def test_read_only_store_rejects_writes(tmp_path: Path, there: bool) -> None:
    path = tmp_path / "s.sqlite"
    if there:
        DerivativesStore(path).close()
    with closing(DerivativesStore(path, read_only=True)) as reader, pytest.raises(StoreError, match="read-only"):
        add(reader, 900, 1800)


@pytest.mark.parametrize("name", ["100% ?#.sqlite", "ü\udc80.sqlite"])
def test_read_only_store_can_have_any_file_name(tmp_path: Path, name: str) -> None:
    with closing(DerivativesStore(tmp_path / name)) as store:
        add(store, 900, 1800)
    with closing(DerivativesStore(tmp_path / name, read_only=True)) as reader:
        assert reader.known_through("liquidations", ["A"], 900) == {"A": 1800}


def test_damaged_read_only_store_is_reported_with_a_remedy(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    path.write_bytes(b"this is no database, and never was" * 100)
    with pytest.raises(StoreError, match=r"s\.sqlite.*move it away"):
        DerivativesStore(path, read_only=True)


def everything_in(path: Path) -> list[list[tuple[object, ...]]]:
    with closing(sqlite3.connect(path)) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
        return [connection.execute(f"SELECT * FROM {name} ORDER BY 1, 2").fetchall() for (name,) in names]


def test_partial_response_is_never_visible_while_it_is_stored(tmp_path: Path) -> None:
    path, seen = tmp_path / "s.sqlite", []
    store = DerivativesStore(path)
    add(store, 900, 1800, symbols=("B",))
    before = everything_in(path)
    store._connection.set_trace_callback(lambda _: seen.append(everything_in(path)))
    bars = {"A": [(900, 1.0, 2.0), (1800, 1.0, 2.0)], "B": [(1800, 1.0, 1.0)]}
    store.add(Fetched("liquidations", ("A", "B", "C"), bars, 0, 1800, 1_800_000, simulated=True))
    store._connection.set_trace_callback(None)
    after = everything_in(path)
    assert before != after
    assert len(seen) > 5
    assert all(state in (before, after) for state in seen)


def test_store_uses_a_write_ahead_log_so_that_crashes_cannot_corrupt_it(tmp_path: Path) -> None:
    store = DerivativesStore(tmp_path / "s.sqlite")
    assert store._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store._connection.execute("PRAGMA synchronous").fetchone()[0] >= 1
