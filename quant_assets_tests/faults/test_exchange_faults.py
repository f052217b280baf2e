"""`fetch` and `scan` against local exchanges with faults lose nothing, invent nothing, and say what went wrong."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import orjson
import pytest

from quant_assets.emulator.exchanges import APIS, ExchangeFaults
from quant_assets.feed import feed_problems
from quant_assets_tests.faults.exchange_world import NAMES, ExchangeWorld, exchange_world
from quant_assets_tests.faults.seeding import LONG, rounds, seeded_random
from quant_assets_tests.window_ends import wait_if_window_ends_soon

KINDS = ("server_error", "cut", "closed", "slow", "html", "garbled")
pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def all_served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExchangeWorld]:
    with exchange_world(tmp_path_factory.mktemp("all"), tuple(APIS)) as made:
        yield made


def random_faults(rng: Random) -> ExchangeFaults:
    """Return faults of an exchange that cost no bar for ever."""
    shares = {kind: rng.uniform(0, 0.12) for kind in rng.sample(KINDS, rng.randint(1, 4))}
    spoiled = {kind: rng.random() for kind in rng.sample(("late", "repeated", "shuffled"), rng.randint(0, 2))}
    return ExchangeFaults(seed=rng.randrange(10**6), down=rng.random() < 0.1, late_seconds=2.0, **shares, **spoiled)


def test_random_faults_of_all_exchanges_lose_and_invent_no_bar(all_served: ExchangeWorld) -> None:
    all_served.choose("random", tuple(APIS), more="[BYBIT]\nhistory_days = 20\n[KUCOIN]\nhistory_days = 6\n")
    rng, before = seeded_random("exchange faults"), 0
    for _ in range(rounds(1, 30)):
        for name in APIS:
            all_served.exchanges[name].faults = random_faults(rng)
        all_served.fetch("random", "--max-wait", "20")
        count = all_served.check_stored("random")
        assert count >= before, "stored bars are gone"
        before = count
    all_served.check_complete("random", markets=2 * len(APIS))
    assert all(all_served.exchanges[name].accounting.rate_limited == 0 for name in APIS)


def test_scan_goes_on_when_every_exchange_fails_in_its_own_way(local: ExchangeWorld) -> None:
    local.choose("data")
    local.fetch("data")
    before = local.check_stored("data")
    local.fault("BYBIT", down=True)
    local.fault("KUCOIN", ban_seconds=600.0)
    local.fault("MEXC", html=1.0)
    local.choose("data")  # a changed choice: else the lists of an hour ago would do
    done = local.command("data", "scan", "--max-wait", "0", "--json")
    assert done.returncode == 0, done.stderr
    problems = [line for line in done.stderr.splitlines() if "the stored list is kept" in line]
    assert [line.split()[0].rstrip(":") for line in problems] == list(NAMES), done.stderr
    for line, reason in zip(problems, ("the connection failed", "too many requests", "is no JSON"), strict=True):
        assert reason in line
    assert local.check_stored("data") == before
    content = (local.folder / "data" / "master_feed.json").read_bytes()
    assert feed_problems(content) == []
    signals = orjson.loads(content)["signals"]
    assert {signal["exchange"] for signal in signals} == set(NAMES)
    assert len(signals) == 6 * 3
    shutil.rmtree(local.folder / "data" / "store")  # the pause of the ban
    local.check_complete("data", markets=6)


def test_timeouts_end_with_the_fetch_and_cost_other_exchanges_nothing(local: ExchangeWorld) -> None:
    local.choose("data")
    local.fault("MEXC", script=("",) * 3 + ("slow",) * 40, delay_seconds=60.0)
    wait_if_window_ends_soon()
    began = time.monotonic()
    done = local.fetch("data", "--max-wait", "10")
    assert time.monotonic() - began < 50, "a response of a minute was waited for"
    assert done.of("MEXC")["new"] == 0
    assert done.of("MEXC")["problem"]
    assert done.of("BYBIT")["problem"] == done.of("KUCOIN")["problem"] == ""
    assert local.check_stored("data") == sum(done.of(name)["new"] for name in NAMES)
    local.check_complete("data")


def test_banned_exchange_is_left_alone_by_later_fetches_too(local: ExchangeWorld) -> None:
    local.choose("data")
    local.fault("KUCOIN", ban_seconds=600.0)
    before = local.exchanges["KUCOIN"].accounting
    done = local.fetch("data", "--max-wait", "2")
    assert "too many requests" in done.summary["list_problems"]["KUCOIN"]
    banned = local.exchanges["KUCOIN"].accounting.banned
    assert banned - before.banned == 1
    local.fetch("data", "--max-wait", "2")
    assert local.exchanges["KUCOIN"].accounting.banned == banned, "a request was sent during a ban"
    assert done.of("BYBIT")["new"] > 0


def test_exchange_that_sends_only_web_pages_counts_as_out_of_reach(local: ExchangeWorld) -> None:
    local.choose("data", ["BYBIT", "MEXC"], top=8, days=1)
    local.fetch("data")
    stored = local.check_stored("data")
    local.fault("BYBIT", html=1.0)
    before = local.exchanges["BYBIT"].accounting.requests
    done = local.fetch("data", "--days", "3")
    assert "out of reach" in done.of("BYBIT")["problem"]
    assert "is no JSON" in done.of("BYBIT")["problem"]
    assert local.exchanges["BYBIT"].accounting.requests - before <= 4 + 8 * 4  # 8: those on their way when it ended
    assert done.of("MEXC")["problem"] == ""
    assert local.check_stored("data") > stored
    assert local.stored("data", "BYBIT", "15m")["symbol"].nunique() == 8
    local.check_complete("data", days=1)


@pytest.mark.parametrize("seconds", [-3600.0, 3600.0, *([-120.0, 120.0] if LONG else [])])
def test_clock_that_is_off_stores_no_open_bar_and_misses_no_closed_one(
    all_served: ExchangeWorld, seconds: float
) -> None:
    name = f"clock_{seconds:g}"
    all_served.choose(name, tuple(APIS), top=1)
    for offset in (-4500.0, seconds):  # the second fetch asks for bars that follow stored ones
        all_served.set_clock(offset)
        began_ms = all_served.seconds() * 1000
        done = all_served.fetch(name)
        assert done.problems == []
        assert {row["exchange"]: row["late"] for row in done.summary["exchanges"]} == dict.fromkeys(APIS, 0)
        all_served.check_stored(name)
        for exchange in APIS:
            newest_ms = int(all_served.stored(name, exchange, "15m")["time_ms"].max()) + 900_000
            assert newest_ms >= began_ms // 900_000 * 900_000, f"{exchange} lacks bars that have closed"
    if LONG:
        assert len(all_served.scan(name)["signals"]) == 3 * len(APIS)
    if seconds < 0:
        all_served.check_complete(name)
    all_served.reset()


def test_list_that_shrinks_costs_no_stored_bar(local: ExchangeWorld) -> None:
    local.choose("data", ["BYBIT", "MEXC"], top=100)
    local.fetch("data")
    markets, before = local.markets("data"), local.check_stored("data")
    local.fault("BYBIT", list_share=0.7)
    assert local.fetch("data").stderr == ""
    left = local.markets("data")
    assert len(left) < len(markets)
    local.fault("BYBIT", list_share=0.2)
    assert "more than half; the stored list is kept" in local.fetch("data").stderr
    assert local.markets("data")["symbol"].tolist() == left["symbol"].tolist()
    assert local.check_stored("data") >= before
    local.check_complete("data", markets=len(markets))


@pytest.mark.skipif(not LONG, reason="only in the long form")
def test_damaged_data_folder_is_named_and_the_next_fetch_mends_it(local: ExchangeWorld) -> None:
    folder = local.choose("data", ["BYBIT"])
    local.fetch("data")
    rng = seeded_random("damaged folder")
    files = sorted(path for path in (folder / "lake").rglob("*.parquet"))
    files += sorted((folder / "store").rglob("budget.sqlite"))
    for path in rng.sample(files, min(len(files), 8)):
        spoil(path, rng)
        local.fetch("data")
    local.scan("data")
    local.check_complete("data")


def spoil(path: Path, rng: Random) -> None:
    """Cut a file, or overwrite some of it."""
    content = bytearray(path.read_bytes())
    at = rng.randrange(len(content))
    if rng.random() < 0.5:
        path.write_bytes(content[:at])
    else:
        content[at : at + 64] = rng.randbytes(64)
        path.write_bytes(content)
