"""Merges that are killed, run side by side, or meet a full disk leave whole bars, and lose none that were stored."""

from __future__ import annotations

from collections.abc import Iterator
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from quant_assets.common.files import WriteError
from quant_assets_tests.candles.stored_bars import (
    EXCHANGE,
    Model,
    Row,
    everything,
    last_times,
    model_of,
    store_in,
    stored_times,
    table_of,
)
from quant_assets_tests.faults.disks import Disk, disk
from quant_assets_tests.faults.killing import PACKAGE, TIMEOUT_SECONDS, kill_after_steps, run
from quant_assets_tests.faults.seeding import rounds, seeded_random
from quant_assets_tests.forking import CONTEXT

BARS = 300
KILLS = rounds(12, 200)
COUNTED = tuple(
    str(PACKAGE / name)
    for name in ("candles/bar_store.py", "candles/bar_periods.py", "storage/arrow_tables.py", "common/files.py")
)


def history(symbol: str, number: int = 1) -> list[Row]:
    return [(symbol, place, number) for place in range(BARS)]


def merge_history(folder: Path, symbols: list[str], number: int = 1) -> None:
    store_in(folder).merge(EXCHANGE, "15m", table_of([row for symbol in symbols for row in history(symbol, number)]))


def merge_in_step(folder: Path, symbols: list[str], together: Barrier) -> None:
    """Merge one symbol after another, each at the same moment as another process."""
    store = store_in(folder)
    for symbol in symbols:
        together.wait(TIMEOUT_SECONDS)
        counts = store.merge(EXCHANGE, "15m", table_of(history(symbol)))
        assert (counts.new, counts.revised) == (BARS, 0)


def expected(symbols: list[str], number: int = 1) -> Model:
    return model_of([row for symbol in symbols for row in history(symbol, number)])


@pytest.mark.parametrize("kill", range(KILLS))
def test_killed_merge_leaves_whole_days_and_keeps_older_bars(tmp_path: Path, kill: int) -> None:
    merge_history(tmp_path, ["OLD", "REVISED"])
    kill_after_steps(
        seeded_random(f"merge {kill}"), 1200, merge_history, tmp_path, ["NEW", "REVISED"], 2, counted=COUNTED
    )
    store, before, after = store_in(tmp_path), expected(["OLD", "REVISED"]), expected(["NEW", "REVISED"], 2)
    found = everything(store)  # none is damaged
    assert found.items() >= expected(["OLD"]).items()
    days = {time // 86_400_000 for _, time in found}
    for day in days:  # each day is as it was before the merge, or as it is after it
        of_day = {key: values for key, values in found.items() if key[1] // 86_400_000 == day}
        old = {key: values for key, values in before.items() if key[1] // 86_400_000 == day}
        new = old | {key: values for key, values in after.items() if key[1] // 86_400_000 == day}
        assert of_day in (old, new)
    assert stored_times(store) == last_times(found)
    merge_history(tmp_path, ["NEW", "REVISED"], 2)
    assert everything(store) == before | after
    assert stored_times(store) == last_times(before | after)


def test_two_processes_that_merge_at_once_lose_no_bar(tmp_path: Path) -> None:
    symbols = [f"S{number}" for number in range(16)]
    together = CONTEXT.Barrier(2)
    workers = [CONTEXT.Process(target=merge_in_step, args=(tmp_path, symbols[start::2], together)) for start in (0, 1)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(TIMEOUT_SECONDS)
    assert [worker.exitcode for worker in workers] == [0, 0]
    store = store_in(tmp_path)
    assert everything(store) == expected(symbols)
    assert stored_times(store) == last_times(expected(symbols))


def test_merge_waits_for_no_process_that_was_killed(tmp_path: Path) -> None:
    rng = seeded_random("killed with the lock")
    for _ in range(3):
        kill_after_steps(rng, 200, merge_history, tmp_path, ["NEW"], counted=COUNTED)
    run(merge_history, tmp_path, ["NEW"])
    assert everything(store_in(tmp_path)) == expected(["NEW"])


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Disk]:
    with disk(tmp_path / "disk", 2_000) as made:
        yield made


def noise(symbols: str) -> list[Row]:
    """Return bars that cannot be compressed to almost nothing."""
    rng = seeded_random(symbols)
    return [(symbol, place, rng.randrange(10**9)) for symbol in symbols for place in range(BARS)]


@pytest.mark.parametrize("pages", [0, 2, 8, 20])
def test_full_disk_keeps_what_was_stored_and_names_the_remedy(small: Disk, pages: int) -> None:
    store, old, new = store_in(small.folder), noise("abc"), noise("ABCDEFGHIJ")
    store.merge(EXCHANGE, "15m", table_of(old))
    small.fill(pages)
    with pytest.raises(WriteError, match="free space on its disk"):
        store.merge(EXCHANGE, "15m", table_of(new))
    found = everything(store)
    assert found.items() >= model_of(old).items()
    assert stored_times(store) == last_times(found)
    small.free()
    store.merge(EXCHANGE, "15m", table_of(new))
    assert everything(store) == model_of([*old, *new])
    assert stored_times(store) == last_times(model_of([*old, *new]))
