"""A fetch that is killed, interrupted, doubled or out of disk loses no stored bar, and the next one goes on."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import orjson
import pytest

from quant_assets_tests.faults.disks import Disk, disk
from quant_assets_tests.faults.exchange_world import NAMES, ExchangeWorld
from quant_assets_tests.faults.seeding import rounds, seeded_random

pytestmark = pytest.mark.system
REMEDY = "free space on its disk"
#: Files that a fetch writes, in their order.
LANDMARKS = (
    "dagster/opening.lock",
    "dagster/history/runs.db",
    "store/*/budget.sqlite",
    "origins.json",
    "lake/exchange_markets.parquet",
    "locks/exchange_bars-*",
    "lake/exchange_bars/*/15m/*.parquet",
    "lake/exchange_bars/*/15m.parquet",
)
#: Makes a fetch of 20 days take some seconds, so that it stores bars more than once.
SLOW = {"slow": 1.0, "delay_seconds": 0.25}


def kill_a_fetch(local: ExchangeWorld, name: str, rng: Random) -> bool:
    """Kill a fetch some time after it wrote a landmark, and return whether it was still running."""
    landmark, later = rng.choice(LANDMARKS), rng.choice((0.0, 0.05, rng.uniform(0, 2)))
    fetch = local.forked_fetch(name)
    fetch.start()
    while fetch.is_alive() and not any((local.folder / name).glob(landmark)):
        time.sleep(0.002)
    time.sleep(later)
    fetch.kill()
    fetch.join(60)
    return fetch.exitcode == -signal.SIGKILL


@pytest.mark.parametrize("number", range(rounds(1, 12)))
def test_killed_fetch_loses_no_bar_and_the_next_one_goes_on(local: ExchangeWorld, number: int) -> None:
    name, rng, killed, before = "data", seeded_random(f"fetch {number}"), 0, 0
    local.choose(name, top=3, days=20)
    for _ in range(rounds(3, 8)):
        local.fault(NAMES, **SLOW)
        killed += kill_a_fetch(local, name, rng)
        count = local.check_stored(name)
        assert count >= before, "stored bars are gone"
        before = count
    assert killed
    local.check_complete(name, days=20, markets=9)
    assert all(local.exchanges[each].accounting.rate_limited == 0 for each in NAMES)
    assert "Traceback" not in (local.folder / "fetch.stderr").read_text()


def run_two_fetches(local: ExchangeWorld, name: str, *options: str) -> list[str]:
    """Run two fetches of a data folder at once, which both succeed; return what they wrote to stderr."""
    both = [local.forked_fetch(name, *options, said=said) for said in ("one", "other")]
    for fetch in both:
        fetch.start()
    for fetch in both:
        fetch.join(120)
    errors = [(local.folder / f"{said}.stderr").read_text() for said in ("one", "other")]
    assert [fetch.exitcode for fetch in both] == [0, 0], errors
    return errors


def test_two_fetches_at_once_both_succeed_and_store_each_bar_once(local: ExchangeWorld) -> None:
    local.choose("data", days=6)
    local.fault(NAMES, slow=0.5, delay_seconds=0.1)
    assert run_two_fetches(local, "data") == ["", ""]
    summaries = [orjson.loads((local.folder / f"{said}.stdout").read_bytes()) for said in ("one", "other")]
    assert sum(summary["new_bars"] for summary in summaries) == local.check_stored("data")
    assert all(local.exchanges[each].accounting.rate_limited == 0 for each in NAMES)
    local.check_complete("data", days=6)


def test_two_first_fetches_at_once_write_one_choice(local: ExchangeWorld) -> None:
    for number in range(rounds(1, 10)):
        options = ("--exchange", "BYBIT", "--top", "1", "--days", "1")
        run_two_fetches(local, f"fresh_{number}", *options)
        assert 'exchanges = ["BYBIT"]' in (local.folder / f"fresh_{number}" / "exchanges.toml").read_text()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Disk]:
    with disk(tmp_path / "disk", 24_000) as made:
        yield made


def test_fetch_on_a_full_disk_exits_1_with_advice_and_keeps_its_bars(local: ExchangeWorld, small: Disk) -> None:
    world, rng, failed = replace(local, folder=small.folder), seeded_random("full fetch"), 0
    world.choose("data", days=2)
    world.fetch("data")
    before = world.check_stored("data")
    for number in range(rounds(2, 40)):
        small.fill(rng.choice((0, 8, rng.randint(0, 120), rng.randint(120, 700))))
        done = world.command("data", "fetch", "--json", "--days", str(6 + number * 3))
        small.free()
        if done.returncode:
            failed += 1
            assert done.returncode == 1
            assert done.stderr.splitlines()[-1].startswith("the fetch failed: "), done.stderr
        if done.returncode or any(row["problem"] for row in orjson.loads(done.stdout)["exchanges"]):
            assert str(small.folder) in done.stderr
            assert REMEDY in done.stderr
        count = world.check_stored("data")
        assert count >= before, "stored bars are gone"
        before = count
    assert failed
    world.check_complete("data")


def test_choice_that_a_full_disk_refuses_leaves_no_half_written_file(local: ExchangeWorld, small: Disk) -> None:
    world = replace(local, folder=small.folder)
    (small.folder / "data").mkdir()
    small.fill(0)
    done = world.command("data", "fetch", "--exchange", "BYBIT", "--top", "1", "--days", "1")
    assert done.returncode == 1
    assert REMEDY in done.stderr
    assert "unexpected" not in done.stderr
    small.free()
    assert not (small.folder / "data" / "exchanges.toml").exists()
    assert world.command("data", "fetch", "--exchange", "BYBIT", "--top", "1", "--days", "1").returncode == 0


@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_interrupted_fetch_stops_at_once_and_keeps_its_bars(local: ExchangeWorld, told: signal.Signals) -> None:
    local.choose("data", top=3, days=20)
    local.fault("KUCOIN", script=("",) * 14 + ("slow",) * 100, delay_seconds=60.0)
    exchange = local.exchanges["KUCOIN"]
    before = exchange.accounting.requests
    fetch = local.forked_fetch("data")
    fetch.start()
    while fetch.is_alive() and exchange.accounting.requests < before + 16:
        time.sleep(0.05)
    assert fetch.pid is not None
    os.kill(fetch.pid, told)
    fetch.join(45)
    sent = exchange.accounting.requests - before
    assert fetch.exitcode == 130
    assert (local.folder / "fetch.stderr").read_text().splitlines() == ["interrupted; what was fetched is kept"]
    assert sent <= 14 + 3, "requests were sent after the interrupt"
    local.check_stored("data")
    local.check_complete("data", days=20)
