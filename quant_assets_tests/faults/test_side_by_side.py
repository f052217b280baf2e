"""Scans, refreshes and pruning at once all succeed, fetch nothing twice, and always leave a whole feed."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Event, Thread

import orjson
import pytest

from quant_assets.derivatives.datasets import SPECS
from quant_assets.derivatives.report import RefreshReport
from quant_assets.derivatives.store import DerivativesStore
from quant_assets.feed import feed_problems
from quant_assets_tests.faults.commands import forked_job, forked_scan, scan_command
from quant_assets_tests.faults.conftest import Sweep
from quant_assets_tests.faults.proxy import ProxiedRequest
from quant_assets_tests.faults.seeding import rounds
from quant_assets_tests.providers.coinalyze.scripted import Canned
from quant_assets_tests.world import World, kept_in_memory, small_world

pytestmark = pytest.mark.system


@contextmanager
def read_all_the_time(path: Path) -> Iterator[list[str]]:
    """Read the feed in a loop during the block, at least once, and yield the list of problems found."""
    found: list[str] = []
    stop, seen = Event(), [0]

    def read() -> None:
        last = b""
        while not stop.wait(0.002):  # a loop without a pause would take a processor from the scans
            content = path.read_bytes() if path.exists() else b""
            if content and content != last:
                seen[0] += 1
                found.extend(feed_problems(content))
                last = content
            elif last and not content:
                found.append("the feed was gone")

    reader = Thread(target=read)
    reader.start()
    try:
        yield found
    finally:
        stop.set()
        reader.join()
    assert seen[0] > 0


def run_at_once(world: World, *processes: BaseProcess) -> None:
    """Run all processes at once; each must succeed."""
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
    assert [process.exitcode for process in processes] == [0] * len(processes), (world.folder / "output").read_text()


def test_scans_refresh_and_prune_at_once_succeed_and_fetch_nothing_twice(tmp_path: Path) -> None:
    for number in range(rounds(1, 8)):
        with small_world(tmp_path / str(number), markets=12) as world:
            with kept_in_memory(world) as kept:
                alone = kept.scan("alone").feed
            before = len(world.emulator.accounting.accepted)
            with read_all_the_time(world.folder / "data" / "master_feed.json") as problems:
                run_at_once(world, forked_scan(world), forked_scan(world))
                run_at_once(
                    world,
                    forked_scan(world),
                    forked_job(world, "refresh", world.window.key),
                    forked_job(world, "prune"),
                )
            assert problems == []
            histories = {f"/{spec.endpoint}" for spec in SPECS.values()}
            asked = Counter(
                (request.endpoint, symbol)
                for request in world.emulator.accounting.accepted[before:]
                for symbol in request.symbols
                if request.endpoint in histories
            )
            assert asked
            assert max(asked.values()) == 1
            assert world.emulator.accounting.rate_limited == 0
            assert world.scan().feed["signals"] == alone["signals"]


def test_two_refreshes_at_once_fetch_nothing_twice(sweep: Sweep) -> None:
    """The second refresh runs between the first request of the first one and its response."""
    inner: list[RefreshReport] = []

    def spoil(request: ProxiedRequest, answer: Canned) -> Canned:
        if not request.number:
            soon = sweep.provider.clock.seconds() + 5
            with closing(DerivativesStore(sweep.provider.folder / "derivatives.sqlite")) as store:
                inner.append(sweep.refresh(store=store, deadline=soon)[1])
        return answer

    sweep.proxy.alter = spoil
    _, report = sweep.refresh()
    asked = Counter((request.endpoint, symbol) for request in sweep.proxy.requests for symbol in request.symbols)
    assert inner[0].calls > 0
    assert report.calls > 0
    assert max(asked.values()) == 1
    assert sweep.refresh()[1].calls == 0


def test_two_scans_of_different_candles_in_one_data_folder_stay_separate(tmp_path: Path) -> None:
    with small_world(tmp_path / "world", markets=12) as world:
        files = sorted(world.candles.glob("*.json"))
        halves = [tmp_path / "first", tmp_path / "second"]
        exchanges = sorted({file.name.partition("_")[0] for file in files})
        chosen = [set(exchanges[::2]), set(exchanges[1::2])]
        for folder, of_folder in zip(halves, chosen, strict=True):
            folder.mkdir()
            for file in files:
                if file.name.partition("_")[0] in of_folder:
                    shutil.copy(file, folder)
        scans = (("scan", str(folder), "--output", str(folder / "feed.json")) for folder in halves)
        run_at_once(world, *(forked_scan(world, "shared", scan) for scan in scans))
        for folder, of_folder in zip(halves, chosen, strict=True):
            feed = orjson.loads((folder / "feed.json").read_bytes())
            assert {signal["exchange"] for signal in feed["signals"]} == of_folder
            assert feed["stats"]["skipped"] == {}


def test_data_folders_with_one_budget_folder_share_its_limit(tmp_path: Path) -> None:
    with small_world(tmp_path, markets=12) as world:
        world.emulator.calls_per_minute = 40
        told = {"QUANT_BUDGET_DIR": str(tmp_path / "budget"), "COINALYZE_CALLS_PER_MINUTE": "40"}
        for name in ("one", "other"):
            done = scan_command(world, name, tmp_path, "--max-wait", "5", **told)
            assert done.returncode == 0, done.stderr
        assert world.emulator.accounting.rate_limited == 0
        assert 30 <= world.emulator.accounting.calls <= 40
        assert [path.name for path in tmp_path.rglob("budget.sqlite")] == ["budget.sqlite"]
