"""Opening a database: creation, upgrade by a writer, reading without a change.

`old_databases/NAME_REVISION.sql` are files that programs of before wrote, as SQL.
"""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from quant_assets.common.settings import Settings
from quant_assets.derivatives.datasets import DATASETS
from quant_assets.derivatives.store import CLAIM_TIMEOUT_MS, DerivativesStore, ExchangeSnapshot, StoreError
from quant_assets.providers.budget import CallBudget
from quant_assets.providers.errors import DeadlineExceeded
from quant_assets.storage import migrations
from quant_assets.storage.database import Database, NewerDatabase
from quant_assets.storage.schema import REVISION, SCHEMA, version_table
from quant_assets_tests.providers.conftest import VirtualClock

OLD = Path(__file__).parent / "old_databases"
#: The end of the last bar in the old store (UNIX seconds), and the symbols that have bars.
END = 1_768_842_900
WITH_BARS = ["BTCUSDT_PERP.A", "ETHUSDT_PERP.A"]
RENAMED = {
    "asked": "fetched_ranges",
    "empty": "empty_responses",
    "seen": "served_symbols",
    "refreshes": "refresh_reports",
    "facts": "metadata",
}


def old_database(name: str, path: Path, *, logged: bool = False) -> Path:
    """Create the file of a program of before; `logged` is the mode in which it wrote."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((OLD / f"{name}.sql").read_text())
        if logged:
            connection.execute("PRAGMA journal_mode = WAL")
    return path


def rows_of(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Return the sorted rows of each table that has any, by the table's newest name."""
    with closing(sqlite3.connect(path)) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        tables = {name: sorted(connection.execute(f"SELECT * FROM {name}").fetchall(), key=repr) for name in names}
    return {RENAMED.get(name, name): rows for name, rows in tables.items() if rows}


def expected_after_upgrade(path: Path) -> dict[str, list[tuple[object, ...]]]:
    return {**rows_of(path), version_table.name: [(REVISION,)]}


@pytest.fixture(params=[False, True], ids=["rollback journal", "write-ahead log"])
def old_store(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return old_database("derivatives_0001", tmp_path / "derivatives.sqlite", logged=request.param)


def test_revision_of_the_program_is_that_of_the_newest_migration() -> None:
    script = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert script.get_heads() == [REVISION]


def test_folders_of_migrations_are_packages_so_that_a_wheel_has_them() -> None:
    folder = Path(migrations.__file__).parent
    assert (folder / "__init__.py").is_file()
    assert (folder / "versions" / "__init__.py").is_file()


@pytest.mark.parametrize(
    "name", ["derivatives_0001", "derivatives_0002", "derivatives_0003", "budget_0001", "budget_0003"]
)
def test_upgraded_database_has_the_tables_and_columns_of_a_new_one(tmp_path: Path, name: str) -> None:
    """Compare also what Alembic does not: primary keys."""
    found = []
    for path in (old_database(name, tmp_path / "old.sqlite"), tmp_path / "new.sqlite"):
        Database(path).close()
        engine = sa.create_engine(f"sqlite:///{path}")
        with engine.connect() as connection:
            context = MigrationContext.configure(connection)
            differences = [change for change in compare_metadata(context, SCHEMA) if change[0] != "remove_table"]
            assert differences == []
            inspector = sa.inspect(connection)
            found.append({table: inspector.get_pk_constraint(table)["constrained_columns"] for table in SCHEMA.tables})
        engine.dispose()
    assert found[0] == found[1]


def test_store_of_revision_0001_loses_nothing_in_an_upgrade(old_store: Path) -> None:
    expected = expected_after_upgrade(old_store)
    assert {*DATASETS, *RENAMED.values(), "claims"} <= expected.keys()
    DerivativesStore(old_store).close()
    assert rows_of(old_store) == expected
    DerivativesStore(old_store).close()
    assert rows_of(old_store) == expected


def test_store_of_revision_0002_gets_a_table_of_snapshots_and_loses_nothing(tmp_path: Path) -> None:
    path = old_database("derivatives_0002", tmp_path / "derivatives.sqlite")
    expected = expected_after_upgrade(path)
    snapshot = ExchangeSnapshot(
        exchange="BYBIT",
        symbol="BTCUSDT",
        closed_at_ms=END * 1000,
        observed_at_ms=END * 1000 + 1,
        open_interest=1.5,
        funding_rate_pct=None,
        interval_hours=None,
        simulated=True,
    )
    with closing(DerivativesStore(path)) as store:
        assert store.snapshots(0, END * 1000) == []
    assert rows_of(path) == expected
    with closing(DerivativesStore(path)) as store:
        store.add_snapshots([snapshot])
        assert store.snapshots(0, END * 1000) == [snapshot]


def test_store_of_revision_0003_loses_nothing_in_an_upgrade(tmp_path: Path) -> None:
    path = old_database("derivatives_0003", tmp_path / "derivatives.sqlite", logged=True)
    expected = expected_after_upgrade(path)
    assert "exchange_snapshots" in expected
    with closing(DerivativesStore(path, read_only=True)) as store:
        check_old_store(store)
    DerivativesStore(path).close()
    assert rows_of(path) == expected


def test_budget_of_revision_0003_keeps_its_calls_and_its_throttle(tmp_path: Path) -> None:
    path, clock = old_database("budget_0003", tmp_path / "budget.sqlite", logged=True), VirtualClock(1031.0)
    with closing(CallBudget(path, 40, clock=clock, sleep=clock.sleep)) as budget:
        assert budget.spent() == 20
        assert budget.share() == pytest.approx(0.75, abs=0.001)
        clock.now = 1060.01
        assert budget.spent() == 3


def check_old_store(store: DerivativesStore) -> None:
    """Compare all that a store of revision 0001 holds with what was put into it."""
    for dataset in DATASETS:
        assert [row[:2] for row in store.bars(dataset, WITH_BARS, END - 3600, END)] == [
            (symbol, END - 900 * back) for symbol in WITH_BARS for back in (4, 3, 2, 1)
        ]
        symbols = [*WITH_BARS, "XRPUSD_PERP.0", "NEW'COIN.H"]
        assert store.known_through(dataset, symbols, END - 3600) == dict.fromkeys(symbols, END)
        assert store.served_symbols(dataset) == {*WITH_BARS, "XRPUSD_PERP.0"}
        assert store.empty_twice(END * 1000)[dataset] == {"XRPUSD_PERP.0", "NEW'COIN.H"}
    assert store.bars("open_interest", WITH_BARS, 0, END - 3600) == [(WITH_BARS[0], END - 90_000, 1.0, 2.0, 0.25, 1e-9)]
    assert store.last_bars("liquidations", WITH_BARS, END) == [
        (WITH_BARS[0], END - 900, 1000.6, 1001.6),
        (WITH_BARS[1], END - 900, 2001.1, 2002.1),
    ]
    assert store.load_report("2026-01-19-17:00") == '{"calls": 17, "problems": ["it\'s late", "ü"]}'
    assert store.simulated


def test_upgraded_store_answers_as_before(old_store: Path) -> None:
    with closing(DerivativesStore(old_store)) as store:
        check_old_store(store)
        assert store.claim("funding_rate", WITH_BARS, 7_200_000) == WITH_BARS[:1]
        assert store.claim("funding_rate", WITH_BARS, 7_200_000 + CLAIM_TIMEOUT_MS) == WITH_BARS


def test_older_store_is_read_without_being_changed(old_store: Path) -> None:
    content, files = old_store.read_bytes(), sorted(old_store.parent.iterdir())
    with closing(DerivativesStore(old_store, read_only=True)) as reader:
        check_old_store(reader)
    assert old_store.read_bytes() == content
    assert sorted(old_store.parent.iterdir()) == files


def test_reader_of_an_older_store_sees_its_upgrade(old_store: Path) -> None:
    with closing(DerivativesStore(old_store, read_only=True)) as reader:
        check_old_store(reader)
        with closing(DerivativesStore(old_store)) as writer:
            writer.save_report("2026-01-19-17:15", "{}")
        check_old_store(reader)
        assert reader.load_report("2026-01-19-17:15") == "{}"


def test_store_without_the_table_of_a_new_dataset_gets_it(tmp_path: Path) -> None:
    path, bars = tmp_path / "s.sqlite", sa.MetaData()
    Database(path).close()
    sa.Table("new_dataset", bars, sa.Column("symbol", sa.Text, primary_key=True))
    count = sa.select(sa.func.count()).select_from(bars.tables["new_dataset"])
    before = path.read_bytes()
    with closing(Database(path, bars, read_only=True)) as reader:
        assert reader.read(lambda connection: connection.scalar(count)) == 0
    assert path.read_bytes() == before
    with closing(Database(path, bars)) as database:
        assert database.read(lambda connection: connection.scalar(count)) == 0
    assert "new_dataset" in sa.inspect(sa.create_engine(f"sqlite:///{path}")).get_table_names()


def test_upgrade_that_fails_changes_nothing(old_store: Path) -> None:
    with closing(sqlite3.connect(old_store)) as connection:
        connection.execute("CREATE TABLE refresh_reports (another INTEGER)")  # in the way of a later step
    content = rows_of(old_store)
    with pytest.raises(
        StoreError, match=r"derivatives\.sqlite cannot be used \(table refresh_reports already exists\)"
    ):
        DerivativesStore(old_store)
    with closing(sqlite3.connect(old_store)) as connection:
        assert connection.execute("SELECT COUNT(*) FROM asked").fetchone() == (18,)
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    assert rows_of(old_store) == content


def _open_store(path: Path, start: Barrier) -> None:
    start.wait(60)
    DerivativesStore(path).close()


@pytest.mark.parametrize("read_only", [False, True])
def test_file_that_cannot_be_opened_is_closed_again(tmp_path: Path, read_only: bool) -> None:
    path = tmp_path / "s.sqlite"
    Database(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(NewerDatabase) as failure:
        Database(path, read_only=read_only)
    assert failure.value
    opened = [os.readlink(file) for file in Path("/proc/self/fd").iterdir() if file.is_symlink()]
    assert str(path) not in opened


def test_processes_that_upgrade_at_once_wait_for_each_other(tmp_path: Path) -> None:
    path = old_database("derivatives_0001", tmp_path / "s.sqlite")
    expected = expected_after_upgrade(path)
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(2)
    processes = [context.Process(target=_open_store, args=(path, start)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert rows_of(path) == expected


def test_upgrade_waits_for_a_writer_and_says_so_if_it_takes_too_long(old_store: Path) -> None:
    with closing(sqlite3.connect(old_store)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"derivatives\.sqlite cannot be used \(database is locked\)"):
            DerivativesStore(old_store, lock_timeout_seconds=0.1)
    DerivativesStore(old_store).close()


def test_program_of_before_refuses_the_files_of_this_one(tmp_path: Path, old_store: Path) -> None:
    """It opened only stores whose `user_version` is 0 or 1."""
    DerivativesStore(tmp_path / "new.sqlite").close()
    DerivativesStore(old_store).close()
    for path in (old_store, tmp_path / "new.sqlite"):
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA user_version").fetchone()[0] > 1


@pytest.fixture
def old_budget(tmp_path: Path) -> Path:
    """A budget in which 5 of 40 calls were spent, and the share in use is 0.75."""
    return old_database("budget_0001", tmp_path / "budget.sqlite", logged=True)


@pytest.mark.parametrize("now", [3605.0, 100.0, 1e6], ids=["seconds later", "after a reboot", "days later"])
def test_budget_of_revision_0001_counts_as_spent_for_a_minute(old_budget: Path, now: float) -> None:
    clock = VirtualClock(now)
    with closing(CallBudget(old_budget, 40, clock=clock, sleep=clock.sleep)) as budget:
        assert budget.spent() == 40
        assert budget.available() == 0
        with pytest.raises(DeadlineExceeded):
            budget.acquire(1, deadline=now + 59)
        budget.acquire(1)
        assert clock.now - now == pytest.approx(60, abs=0.01)
        assert budget.spent() == 1


def test_budget_of_revision_0001_stays_throttled(old_budget: Path) -> None:
    clock = VirtualClock(3605.0)
    with closing(CallBudget(old_budget, 40, clock=clock, sleep=clock.sleep)) as budget:
        assert budget.share() == pytest.approx(0.75, abs=0.001)


def test_program_of_before_cannot_count_in_an_upgraded_budget(old_budget: Path) -> None:
    """It began by creating its table of calls and the table's index where they were missing."""
    CallBudget(old_budget, 40).close()
    with closing(sqlite3.connect(old_budget)) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS 'calls' (name VARCHAR, item_timestamp INTEGER)")
        with pytest.raises(sqlite3.OperationalError):
            connection.execute("CREATE INDEX IF NOT EXISTS 'idx_calls_rate_item_timestamp' ON 'calls' (item_timestamp)")
        with pytest.raises(sqlite3.OperationalError):
            connection.execute("INSERT INTO calls VALUES ('settled', 0)")


def test_return_to_an_origin_finds_the_calls_of_its_last_minute(tmp_path: Path) -> None:
    """Each origin has a budget of its own, also in a folder that data folders share."""
    clock = VirtualClock()

    def budget_of(url: str) -> CallBudget:
        path = Settings(base_url=url, data_dir=tmp_path, budget_dir=tmp_path / "budget").budget_path
        return CallBudget(path, 40, clock=clock, sleep=clock.sleep)

    with closing(budget_of("https://one.example/v1")) as one:
        one.commit(one.acquire(30))
    with closing(budget_of("https://other.example/v1")) as other:
        assert other.spent() == 0
        other.commit(other.acquire(40))
    clock.now += 30
    with closing(budget_of("https://one.example/v1")) as one:
        assert one.spent() == 30


def test_alembic_is_imported_only_for_an_upgrade(tmp_path: Path) -> None:
    path = old_database("derivatives_0001", tmp_path / "old.sqlite")
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from quant_assets.derivatives.store import DerivativesStore\n"
        "for path in map(Path, sys.argv[1:]):\n"
        "    DerivativesStore(path).close(); DerivativesStore(path, read_only=True).close()\n"
        "    print('alembic' in sys.modules)\n"
    )
    arguments = [sys.executable, "-c", program, str(tmp_path / "new.sqlite"), str(path)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["False", "True"]
