"""A scan killed at any point is completed by the next one."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from random import Random

import orjson
import pytest

from quant_assets.derivatives.datasets import SPECS
from quant_assets.feed import feed_problems
from quant_assets_tests.faults.commands import forked_scan
from quant_assets_tests.faults.seeding import rounds, seeded_random
from quant_assets_tests.world import World, kept_in_memory, small_world

#: Files that a scan writes, in their order.
LANDMARKS = (
    "dagster/opening.lock",
    "dagster/history/runs.db",
    "dagster/history/runs",
    "store/loopback/budget.sqlite",
    "lake/coinalyze_markets.parquet",
    "lake/candles.parquet",
    "lake/symbol_map.parquet",
    "store/loopback/derivatives.sqlite",
    "lake/candle_features",
    "lake/watchlist",
    "lake/open_interest",
    "lake/features",
    "lake/signals",
    "master_feed.json",
)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with small_world(tmp_path_factory.mktemp("killed"), markets=12) as world:
        yield world


def kill_a_scan(world: World, name: str, rng: Random) -> bool:
    """Kill a scan some time after it wrote a landmark, and return whether it was still running."""
    landmark = world.folder / name / rng.choice(LANDMARKS)
    later = rng.uniform(0, 0.2)
    scan = forked_scan(world, name)
    scan.start()
    while scan.is_alive() and not landmark.exists():
        time.sleep(0.002)
    time.sleep(later)
    scan.kill()
    scan.join(60)
    return scan.exitcode == -signal.SIGKILL


def calls(world: World, since: int) -> int:
    """Return the calls spent on histories after the first `since` requests."""
    histories = {f"/{spec.endpoint}" for spec in SPECS.values()}
    accepted = world.emulator.accounting.accepted[since:]
    return sum(len(request.symbols) for request in accepted if request.endpoint in histories)


@pytest.mark.parametrize("number", range(rounds(1, 12)))
def test_killed_scan_resumes_with_the_same_signals_for_one_batch_per_kill(fresh: World, number: int) -> None:
    rng, name, kills = seeded_random(f"scan {number}"), f"killed_{number}", rounds(2, 6)
    feed, before = fresh.folder / name / "master_feed.json", len(fresh.emulator.accounting.accepted)
    with kept_in_memory(fresh) as kept:
        undisturbed = kept.scan(f"undisturbed_{number}").feed
    needed = calls(fresh, before)
    before = len(fresh.emulator.accounting.accepted)
    killed = 0
    for _ in range(kills):
        killed += kill_a_scan(fresh, name, rng)
        assert not feed.exists() or feed_problems(feed.read_bytes()) == []
    after = forked_scan(fresh, name)
    after.start()
    after.join(300)
    assert after.exitcode == 0, (fresh.folder / "output").read_text()
    assert feed_problems(feed.read_bytes()) == []
    assert orjson.loads(feed.read_bytes())["signals"] == undisturbed["signals"]
    assert calls(fresh, before) <= needed + 20 * killed
    assert fresh.emulator.accounting.rate_limited == 0
