"""A full disk at any write keeps the old data, gives an error with path and remedy, and loses nothing later."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from multiprocessing.sharedctypes import RawValue
from pathlib import Path

import orjson
import pandas as pd
import pytest

from quant_assets.common.files import WriteError
from quant_assets.common.windows import Window
from quant_assets.derivatives.datasets import DATASETS
from quant_assets.derivatives.store import DerivativesStore, StoreError
from quant_assets.emulator import Emulator, plain_universe
from quant_assets.feed import StoredFeed, feed_problems, publish
from quant_assets.orchestration.scan import ScanFailed
from quant_assets.providers.coinalyze import BudgetUnusable, CallBudget
from quant_assets.storage.lake import Lake, compress_document
from quant_assets_tests.faults.commands import scan_command
from quant_assets_tests.faults.disks import Disk, disk
from quant_assets_tests.faults.seeding import rounds, seeded_random
from quant_assets_tests.faults.workers import SYMBOLS, SharedClock, Task, run_refresh, store_answers, symbol_map_of
from quant_assets_tests.world import World

WINDOW = Window(datetime(2026, 1, 19, 17, 45, tzinfo=UTC))
HOUR_MS = 3_600_000
REMEDY = "free space on its disk"


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Disk]:
    with disk(tmp_path / "disk", 20_000) as made:
        yield made


def content(note: int) -> bytes:
    return orjson.dumps({"window": WINDOW.key, "note": note, "signals": ["x" * 100] * 2000})


def publish_feed(folder: Path, note: int) -> None:
    publish(StoredFeed(content(note), WINDOW, None, None), folder / "feed.json", WINDOW.end)


def write_table(folder: Path, note: int) -> None:
    table = pd.DataFrame({"score": range(30_000)}) * 1.5 + note
    Lake(folder).write(["features"], WINDOW.key, table)


def write_document(folder: Path, note: int) -> None:
    noise = seeded_random(f"document {note}").randbytes(200_000).hex().encode()
    Lake(folder).write_document(["master_feed"], WINDOW.key, compress_document(noise))


def failure_of(kind: type[Exception], work: Callable[..., object], *arguments: object) -> str:
    """Run the work, and return the message of its error, "" where there was none."""
    try:
        work(*arguments)
    except kind as error:
        return str(error)
    return ""


@pytest.mark.parametrize("write", [publish_feed, write_table, write_document])
def test_failed_write_names_the_file_and_keeps_the_old_one(small: Disk, write: Callable[[Path, int], None]) -> None:
    write(small.folder, 0)
    (file,) = [path for path in small.folder.rglob("*") if path.is_file() and path.suffix != ".lock"]
    rng, failed = seeded_random(write.__name__), 0
    for note in range(1, rounds(12, 200)):
        old = file.read_bytes()
        small.fill(rng.randint(0, 64))
        problem = failure_of(WriteError, write, small.folder, note)
        if problem:
            failed += 1
            assert str(file) in problem
            assert REMEDY in problem
            assert file.read_bytes() == old
        assert list(small.folder.rglob("*.tmp")) == []
    assert failed
    small.free()
    old = file.read_bytes()
    write(small.folder, 1_000)
    assert file.read_bytes() != old


def test_store_on_a_full_disk_keeps_its_data_and_says_what_to_do(small: Disk) -> None:
    path = small.folder / "derivatives.sqlite"
    rng, failed, had = seeded_random("full store"), 0, 0
    for attempt in range(rounds(12, 60)):
        small.fill(rng.randint(0, 40))
        problem = failure_of(StoreError, store_answers, path, 1, attempt * HOUR_MS)
        if problem:
            failed += 1
            assert str(path) in problem
            assert REMEDY in problem
        small.free()
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        with closing(DerivativesStore(path)) as store:
            known = len(store.known_through("open_interest", SYMBOLS, 0))
        assert known >= had
        had = known
    assert failed
    store_answers(path, 1, (attempt + 1) * HOUR_MS)
    with closing(DerivativesStore(path)) as store:
        assert len(store.known_through("open_interest", SYMBOLS, 0)) == had + 20


def test_budget_on_a_full_disk_sends_nothing_and_forgets_no_call(small: Disk) -> None:
    path = small.folder / "budget.sqlite"
    clock = SharedClock(RawValue("d", 1000.0))
    rng, failures = seeded_random("full budget"), 0
    for _ in range(rounds(12, 200)):
        sent = 0

        def spend() -> None:
            nonlocal sent
            with closing(CallBudget(path, 10_000, clock=clock.seconds, sleep=clock.sleep)) as budget:
                for _ in range(30):
                    lease = budget.acquire(20)
                    sent += 20
                    budget.commit(lease)

        small.fill(rng.randint(0, 24))
        problem = failure_of(BudgetUnusable, spend)
        if problem:
            failures += 1
            assert str(path) in problem
            assert REMEDY in problem
        small.free()
        with closing(CallBudget(path, 10_000, clock=clock.seconds, sleep=clock.sleep)) as budget:
            assert sent <= budget.spent() <= sent + 20
        clock.sleep(131)  # until a lease that was not committed has ended
    assert failures


def test_refresh_on_a_full_disk_wastes_one_request_at_most_and_resumes(small: Disk) -> None:
    clock = SharedClock(RawValue("d", datetime(2026, 1, 19, 17, 45, 6, tzinfo=UTC).timestamp()))
    rng, failed = seeded_random("full refresh"), 0
    with Emulator(plain_universe(60), calls_per_minute=6000, clock=clock.now) as emulator:
        task = Task(emulator.url, small.folder, symbol_map_of(emulator.universe, clock.now()), 6000, WINDOW.key)
        for _ in range(rounds(6, 60)):
            small.fill(rng.randint(0, 120))
            try:
                report = run_refresh(task, clock)
            except (StoreError, BudgetUnusable) as error:
                problem = str(error)
            else:
                problem = report.problems[-1] if report.problems else ""
            clock.sleep(131)  # until claims and leases that were not released have ended
            if problem:
                failed += 1
                assert str(small.folder) in problem
                assert REMEDY in problem
        small.free()
        report = run_refresh(task, clock)
        assert (report.stopped, report.problems) == ("", [])
        assert sum(account.cached + account.fetched for account in report.datasets.values()) == 60 * len(DATASETS)
        assert emulator.accounting.calls <= 60 * len(DATASETS) + 20 * failed
    assert failed


@pytest.fixture(scope="module")
def on_a_disk(world: World) -> Iterator[Disk]:
    """A data folder on a disk of its own with a scan's feed, and space for the records of failed scans."""
    with disk(world.folder / "on_a_disk", rounds(24_000, 150_000)) as made:
        world.scan("on_a_disk")
        yield made


def test_scan_on_a_full_disk_keeps_the_feed_and_loses_no_data(world: World, on_a_disk: Disk) -> None:
    path = on_a_disk.folder / "master_feed.json"
    first, spent = orjson.loads(path.read_bytes()), world.emulator.accounting.calls
    rng, failed = seeded_random("full scan"), 0
    for _ in range(rounds(2, 40)):
        on_a_disk.fill(rng.choice((0, 8, rng.randint(0, 160), rng.randint(160, 800))))
        problem = failure_of(ScanFailed, world.scan, "on_a_disk")
        if problem:
            failed += 1
            assert str(on_a_disk.folder) in problem
            assert REMEDY in problem
        assert feed_problems(path.read_bytes()) == []
        assert orjson.loads(path.read_bytes())["signals"] == first["signals"], "what was known is not known any more"
    assert failed
    on_a_disk.free()
    again = world.scan("on_a_disk").feed
    assert again["signals"] == first["signals"]
    assert world.emulator.accounting.calls == spent


def test_command_on_a_full_disk_exits_1_and_says_what_to_do(world: World, on_a_disk: Disk, tmp_path: Path) -> None:
    on_a_disk.fill(8)
    done = scan_command(world, "on_a_disk", tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) <= 3
    assert str(on_a_disk.folder) in done.stderr
    assert REMEDY in done.stderr
    on_a_disk.free()
