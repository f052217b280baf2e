"""A refresh, a store and a feed that are killed at any point lose almost nothing and continue."""

from __future__ import annotations

import gzip
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from multiprocessing.sharedctypes import RawValue
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest

from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.derivatives.datasets import DATASETS
from quant_assets.derivatives.store import CLAIM_TIMEOUT_MS, DerivativesStore
from quant_assets.emulator import Emulator, plain_universe
from quant_assets.feed import feed_problems
from quant_assets.storage.lake import Lake
from quant_assets.storage.retention import RetentionPolicy, prune_lake, prune_temporary_files
from quant_assets_tests.faults.killing import COUNTED_FILES, WRITING_FILES, kill_after_seconds, kill_after_steps, run
from quant_assets_tests.faults.seeding import rounds, seeded_random
from quant_assets_tests.faults.workers import (
    BARS,
    SYMBOLS,
    SharedClock,
    Task,
    publish_windows,
    run_refresh,
    store_answers,
    symbol_map_of,
)
from quant_assets_tests.world import World

MARKETS = 100
CALLS = MARKETS * len(DATASETS)
CALLS_PER_MINUTE = 100
LISTED = {row.symbol for row in plain_universe(MARKETS).rows}


def kill(
    rng: Random,
    steps: int,
    seconds: float,
    work: Callable[..., None],
    *arguments: Any,
    counted: tuple[str, ...] = COUNTED_FILES,
) -> None:
    """Kill a worker after random steps or after a random time."""
    if rng.random() < 0.5:
        kill_after_steps(rng, steps, work, *arguments, counted=counted)
    else:
        kill_after_seconds(rng, seconds, work, *arguments)


def sound(path: Path) -> bool:
    """Return whether SQLite's integrity check of a file passes."""
    with closing(sqlite3.connect(path)) as connection:
        return bool(connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)])


@pytest.mark.parametrize("hour", range(rounds(1, 25)))
def test_killed_refresh_repeats_only_the_request_in_flight_without_429(tmp_path: Path, hour: int) -> None:
    rng, kills = seeded_random(f"refresh {hour}"), 8
    clock = SharedClock(RawValue("d", datetime(2026, 1, 19, 17, 45, 6, tzinfo=UTC).timestamp()))

    def on_arrival() -> datetime:
        """The network delay varies, so calls are counted here and arrive there at different times."""
        clock.sleep(rng.uniform(0, 4))
        return clock.now()

    with Emulator(plain_universe(MARKETS), calls_per_minute=CALLS_PER_MINUTE, clock=on_arrival) as emulator:
        window = Window.last_complete(clock.now())
        symbol_map = symbol_map_of(emulator.universe, clock.now())
        task = Task(emulator.url, tmp_path, symbol_map, CALLS_PER_MINUTE, window.key)
        for _ in range(kills):
            kill(rng, 25_000, 0.5, run_refresh, task, clock)
            if task.store.exists():
                assert sound(task.store)
        report = run_refresh(task, clock)
        asked = Counter(
            (request.endpoint, symbol) for request in emulator.accounting.accepted for symbol in request.symbols
        )
        assert report.stopped == ""
        assert emulator.accounting.rate_limited == 0
    assert len(asked) == CALLS
    assert asked.total() <= CALLS + 20 * kills
    assert sound(task.budget)
    assert {path.name.partition(".sqlite")[0] for path in tmp_path.glob("*.*")} == {"budget", "derivatives"}
    with closing(DerivativesStore(task.store)) as store:
        for dataset in DATASETS:
            assert set(store.known_through(dataset, LISTED, window.end_seconds - 86_400)) == LISTED


@pytest.mark.parametrize("number", range(rounds(1, 25)))
def test_store_has_an_answer_whole_or_not_at_all_after_a_kill(tmp_path: Path, number: int) -> None:
    rng, path = seeded_random(f"store {number}"), tmp_path / "derivatives.sqlite"
    grown = []
    for _ in range(8):
        kill(rng, 4000, 0.3, store_answers, path)
        assert sound(path)
        with closing(DerivativesStore(path)) as store:
            for dataset in DATASETS:
                known = store.known_through(dataset, SYMBOLS, 0)
                assert len(known) % 20 == 0
                bars = Counter(row[0] for row in store.bars(dataset, known, 0, 900 * BARS))
                assert bars == dict.fromkeys(known, BARS)
            grown.append(len(store.known_through("open_interest", SYMBOLS, 0)))
            later = CLAIM_TIMEOUT_MS + 1
            assert store.claim("open_interest", SYMBOLS, later) == SYMBOLS, "a claim did not end by itself"
            store.release("open_interest", SYMBOLS)
    assert grown == sorted(grown)
    run(store_answers, path, 2)
    with closing(DerivativesStore(path)) as store:
        assert len(store.known_through("open_interest", SYMBOLS, 0)) >= grown[-1] + 20


@pytest.fixture(scope="module")
def scanned(world: World) -> bytes:
    """Return the feed of an undisturbed scan."""
    return world.scanned("undisturbed").read_bytes()


def test_feed_and_tables_are_whole_after_a_kill(world: World, scanned: bytes, tmp_path: Path) -> None:
    rng, path, lake = seeded_random("feed"), tmp_path / "master_feed.json", tmp_path / "lake"
    path.write_bytes(scanned)
    newest = world.window
    for _ in range(rounds(12, 200)):
        kill(rng, 1000, 0.3, publish_windows, scanned, newest, lake, path, counted=WRITING_FILES)
        content = path.read_bytes()
        assert feed_problems(content) == []
        published = Window.of_key(orjson.loads(content)["window"])
        assert published >= newest
        newest = published
        for table in lake.rglob("*.parquet"):
            assert pq.read_table(table).num_rows == orjson.loads(content)["stats"]["signals"]
        for document in lake.rglob("*.json.gz"):
            assert feed_problems(gzip.decompress(document.read_bytes())) == []
    run(publish_windows, scanned, newest, lake, path, 2)
    assert orjson.loads(path.read_bytes())["window"] == Window(newest.end + 2 * WINDOW_LENGTH).key
    later = datetime.now(UTC) + timedelta(hours=2)
    assert len(list(tmp_path.rglob("*.tmp"))) > 0, "no kill hit a write"
    prune_temporary_files(tmp_path, later)
    prune_lake(Lake(lake), later, RetentionPolicy())
    assert list(tmp_path.rglob("*.tmp")) == []
    assert feed_problems(path.read_bytes()) == []
