"""Tests of the derivatives store."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from quant_assets.common.database_server import DatabaseServer
from quant_assets.derivatives.store import CLAIM_TIMEOUT_MS, DerivativesStore, ExchangeSnapshot, Fetched, StoreError


@pytest.fixture(params=["file", pytest.param("server", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | DatabaseServer:
    """Return where an empty store is: in a file, or in PostgreSQL."""
    if request.param == "file":
        return tmp_path / "s.sqlite"
    return DatabaseServer(request.getfixturevalue("database_url"))


def add(store: DerivativesStore, start: int, through: int, at_ms: int = 0, symbols: tuple[str, ...] = ("A",)) -> None:
    bars = {symbol: [(start, 1.0, 2.0)] for symbol in symbols}
    store.add(Fetched("liquidations", symbols, bars, start, through, at_ms, simulated=False))


def test_touching_ranges_are_merged_and_others_stay_separate(place: Path | DatabaseServer) -> None:
    store = DerivativesStore(place)
    add(store, 1000, 2000)
    add(store, 5000, 6000)
    assert store.known_through("liquidations", ["A", "B"], 1000) == {"A": 2000}
    assert store.known_through("liquidations", ["A"], 3000) == {"A": 2000}
    assert store.known_through("liquidations", ["A"], 5000) == {"A": 6000}
    add(store, 1900, 5000)
    assert store.known_through("liquidations", ["A"], 1000) == {"A": 6000}
    assert store.known_through("liquidations", ["A"], 999) == {}


def test_two_empty_responses_in_a_row_are_counted_until_data_comes(place: Path | DatabaseServer) -> None:
    store = DerivativesStore(place)

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


def test_bar_that_is_fetched_again_is_replaced(place: Path | DatabaseServer) -> None:
    store = DerivativesStore(place)
    for value in (1.0, 3.0):
        store.add(Fetched("liquidations", ("A",), {"A": [(900, value, 0.0)]}, 0, 1800, 0, simulated=False))
    assert store.bars("liquidations", ["A"], 0, 9000) == [("A", 900, 3.0, 0.0)]


def test_two_open_stores_see_each_others_responses(place: Path | DatabaseServer) -> None:
    one, other = DerivativesStore(place), DerivativesStore(place)
    add(one, 1000, 2000)
    assert other.known_through("liquidations", ["A"], 1000) == {"A": 2000}
    add(other, 2000, 3000)
    assert one.known_through("liquidations", ["A"], 1000) == {"A": 3000}


def test_simulated_response_marks_the_store_permanently(place: Path | DatabaseServer) -> None:
    store = DerivativesStore(place)
    assert not store.simulated
    store.add(Fetched("liquidations", ("A",), {}, 0, 900, 0, simulated=True))
    assert DerivativesStore(place).simulated


def test_damaged_store_is_reported_with_a_remedy(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    path.write_bytes(b"this is no database, and never was" * 100)
    with pytest.raises(StoreError, match=r"s\.sqlite.*move it away"):
        DerivativesStore(path)


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("change", ["PRAGMA user_version = 99", "UPDATE quant_assets_version SET version_num = '9999'"])
def test_store_of_a_newer_version_is_not_opened(tmp_path: Path, change: str, read_only: bool) -> None:
    path = tmp_path / "s.sqlite"
    DerivativesStore(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(change)
        connection.commit()
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"s\.sqlite is of version 99.*newer than this program.*update the program"):
        DerivativesStore(path, read_only=read_only)
    assert path.read_bytes() == before


def test_snapshots_are_replaced_and_read_by_time(place: Path | DatabaseServer) -> None:
    store = DerivativesStore(place)
    snapshots = [
        ExchangeSnapshot(
            exchange="BYBIT",
            symbol=symbol,
            closed_at_ms=closed_at_ms,
            observed_at_ms=closed_at_ms + 1,
            open_interest=value,
            funding_rate_pct=None,
            interval_hours=8.0,
            simulated=simulated,
        )
        for symbol, closed_at_ms, value, simulated in (
            ("A", 1000, 1.5, True),
            ("A", 2000, 2.5, False),
            ("B", 2000, 3, True),
        )
    ]
    store.add_snapshots([replace(snapshots[0], open_interest=9.0), *snapshots])
    assert store.snapshots(0, 2000) == snapshots
    assert store.snapshots_of("BYBIT", "A", 1000, 2000) == [snapshots[1]]
    assert store.snapshots_since("BYBIT", 2000) == snapshots[1:]
    assert store.snapshots_since("BINANCE", 0) == []
    assert store.prune(2) == 0
    assert store.snapshots(0, 2000) == snapshots[1:]


def test_response_that_fails_to_store_leaves_nothing_stored(place: Path | DatabaseServer) -> None:
    store = DerivativesStore(place)
    broken: dict[str, Any] = {"A": [(900, 1.0, 2.0)], "B": [(900, 1.0, None)]}
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
        return [sorted(connection.execute(f"SELECT * FROM {name}").fetchall(), key=repr) for (name,) in names]


@contextmanager
def before_each_statement(do: Callable[[Any], None]) -> Iterator[None]:
    """Call a function with the driver's cursor before each statement of any engine."""

    def on_statement(_: object, cursor: Any, *__: object) -> None:
        do(cursor)

    sa.event.listen(sa.Engine, "before_cursor_execute", on_statement)
    try:
        yield
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", on_statement)


def test_partial_response_is_never_visible_while_it_is_stored(tmp_path: Path) -> None:
    path, seen = tmp_path / "s.sqlite", []
    store = DerivativesStore(path)
    add(store, 900, 1800, symbols=("B",))
    before = everything_in(path)
    bars = {"A": [(900, 1.0, 2.0), (1800, 1.0, 2.0)], "B": [(1800, 1.0, 1.0)]}
    with before_each_statement(lambda _: seen.append(everything_in(path))):
        store.add(Fetched("liquidations", ("A", "B", "C"), bars, 0, 1800, 1_800_000, simulated=True))
    after = everything_in(path)
    assert before != after
    assert len(seen) > 5
    assert all(state in (before, after) for state in seen)


def test_store_uses_a_write_ahead_log_so_that_crashes_cannot_corrupt_it(tmp_path: Path) -> None:
    store, modes = DerivativesStore(tmp_path / "s.sqlite"), []

    def read_modes(cursor: Any) -> None:
        connection = cursor.connection
        modes.append([connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")])

    with before_each_statement(read_modes):
        add(store, 900, 1800)
    assert modes
    assert all(journal == "wal" and synchronous >= 1 for journal, synchronous in modes)


def test_claim_ends_by_itself(tmp_path: Path) -> None:
    one, other = DerivativesStore(tmp_path / "s.sqlite"), DerivativesStore(tmp_path / "s.sqlite")
    assert one.claim("liquidations", ["A", "B"], 5_000) == ["A", "B"]
    assert other.claim("liquidations", ["B", "C"], 5_000 + CLAIM_TIMEOUT_MS) == ["C"]
    assert one.claim("liquidations", ["A", "B"], 5_000 + CLAIM_TIMEOUT_MS) == ["A", "B"]
    assert other.claim("liquidations", ["A"], 5_001 + 2 * CLAIM_TIMEOUT_MS) == ["A"]


def test_claim_made_while_another_process_waits_for_the_lock_counts(tmp_path: Path) -> None:
    one, other = DerivativesStore(tmp_path / "s.sqlite"), DerivativesStore(tmp_path / "s.sqlite")
    assert one.claim("liquidations", ["A"], 5_050) == ["A"]
    assert other.claim("liquidations", ["A", "B"], 5_000) == ["B"]


def test_claim_of_before_a_reboot_has_ended(tmp_path: Path) -> None:
    one, other = DerivativesStore(tmp_path / "s.sqlite"), DerivativesStore(tmp_path / "s.sqlite")
    one.claim("liquidations", ["A"], 3_600_000)
    assert other.claim("liquidations", ["A"], 10_000) == ["A"]


def test_claim_is_released_only_by_its_owner(place: Path | DatabaseServer) -> None:
    one, other = DerivativesStore(place), DerivativesStore(place)
    one.claim("liquidations", ["A", "B"], 0)
    other.release("liquidations", ["A"])
    assert other.claim("liquidations", ["A", "B"], 0) == []
    one.release("liquidations", ["A"])
    assert other.claim("liquidations", ["A", "B"], 0) == ["A"]
