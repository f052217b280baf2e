"""Two scans at once, a refresh and a prune beside them: none fails, nothing is paid twice, the feed is always whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Event, Thread

from quant_assets.derivatives.datasets import SPECS
from quant_assets.feed import feed_problems
from quant_assets_tests.faults.chance import rounds
from quant_assets_tests.faults.commands import forked_job, forked_scan
from quant_assets_tests.world import World, small_world


@contextmanager
def read_all_the_time(path: Path) -> Iterator[list[str]]:
    """Read the feed in a loop beside the block; gives the problems that were found, and at least one reading."""
    found: list[str] = []
    stop, seen = Event(), [0]

    def read() -> None:
        last = b""
        while not stop.is_set():
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


def side_by_side(world: World, *processes: BaseProcess) -> None:
    """Run all of these at once; each has to succeed."""
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
    assert [process.exitcode for process in processes] == [0] * len(processes), (world.folder / "said").read_text()


def test_two_scans_a_refresh_and_a_prune_at_once_all_succeed_and_pay_for_nothing_twice(tmp_path: Path) -> None:
    for number in range(rounds(1, 8)):
        with small_world(tmp_path / str(number), markets=12) as world:
            alone = world.scan("alone").feed
            before = len(world.emulator.accounting.accepted)
            with read_all_the_time(world.folder / "data" / "master_feed.json") as problems:
                side_by_side(world, forked_scan(world), forked_scan(world))
                side_by_side(
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
