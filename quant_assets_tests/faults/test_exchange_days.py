"""A day of windows in which exchanges are away, correct, delay and shuffle their bars; then nothing is missing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from quant_assets.common.clock import Clock
from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.definitions import build_definitions
from quant_assets.emulator.exchanges import APIS
from quant_assets.orchestration.fetch import FetchChoice, FetchResult, run_fetch
from quant_assets_tests.faults.exchange_world import NAMES, ExchangeWorld, exchange_world
from quant_assets_tests.faults.seeding import rounds, seeded_random
from quant_assets_tests.faults.test_exchange_faults import random_faults

DAY_SECONDS = 86_400.0
WINDOWS = 96
pytestmark = pytest.mark.system


class Day:
    """Fetches in this process, by the exchanges' clock, which the test sets forward."""

    def __init__(self, world: ExchangeWorld, instance: dg.DagsterInstance) -> None:
        self.world, self.instance = world, instance
        settings = world.settings("data")
        self.definitions = build_definitions(settings, clock=Clock(seconds=world.seconds))

    def window(self) -> Window:
        return Window.last_complete(datetime.fromtimestamp(self.world.seconds(), UTC))

    def go_on(self, windows: int) -> None:
        """Set the clock to five seconds after the end of a later window."""
        later = self.window().end + windows * WINDOW_LENGTH
        self.world.offset_seconds[0] += later.timestamp() + 5 - self.world.seconds()

    def fetch(self, seconds: float = 60.0) -> FetchResult:
        choice = FetchChoice(max_wait_seconds=seconds)
        return run_fetch(self.world.settings("data"), self.definitions, choice, given=self.instance)


@pytest.fixture
def day(tmp_path: Path) -> Iterator[Day]:
    with exchange_world(tmp_path, NAMES) as world, dg.DagsterInstance.ephemeral() as instance:
        world.choose("data")
        world.offset_seconds[0] = -2 * DAY_SECONDS
        made = Day(world, instance)
        made.go_on(1)
        yield made


def test_exchange_that_is_down_for_a_day_has_all_its_bars_afterwards(day: Day) -> None:
    step = 96 // rounds(3, 48)
    assert day.fetch().list_problems == {}
    day.world.fault("KUCOIN", down=True)
    for _ in range(WINDOWS // step):
        day.go_on(step)
        result = day.fetch()
        assert set(result.list_problems) == {"KUCOIN"}
        assert all(row["problem"] for row in result.exchanges if row["exchange"] == "KUCOIN")
        missing = day.world.missing("data", day.window().end_ms)
        assert {exchange for exchange, _, _ in missing} == {"KUCOIN"}, "the others got their bars"
    day.world.fault("KUCOIN")
    day.go_on(1)
    result = day.fetch()
    assert (result.list_problems, [row["problem"] for row in result.exchanges]) == ({}, ["", "", ""])
    assert day.world.missing("data", day.window().end_ms, days=3) == {}
    assert day.world.check_stored("data") > 0
    assert sum(row["gaps"] for row in result.exchanges) == 0
    assert all(day.world.exchanges[name].accounting.rate_limited == 0 for name in NAMES)


def test_bars_corrected_late_twice_and_out_of_order_end_as_the_exchange_has_them(day: Day) -> None:
    day.world.fault(NAMES, corrected=1.0, correction_seconds=800.0)
    for _ in range(2):
        day.go_on(1)
        result = day.fetch()
    assert all(row["revised"] for row in result.exchanges)
    rng = seeded_random("corrected bars")
    for _ in range(rounds(4, 96)):
        day.world.fault(
            NAMES,
            seed=rng.randrange(1000),
            corrected=0.5,
            correction_seconds=1000.0,
            late=0.4,
            late_seconds=rng.choice((2.0, 1000.0)),
            repeated=0.3,
            shuffled=0.5,
        )
        day.go_on(1)
        result = day.fetch()
        assert result.list_problems == {}
        day.world.check_stored("data", unlike=6 * 2 * 2)  # of each market two of 15m, and of 4h
    day.world.fault(NAMES)
    for _ in range(2):
        day.go_on(16)
        day.fetch()
    assert day.world.missing("data", day.window().end_ms) == {}
    day.world.check_stored("data")


def test_day_of_random_faults_of_all_exchanges_ends_complete(tmp_path: Path) -> None:
    rng, names = seeded_random("day of faults"), tuple(APIS) if rounds(0, 1) else NAMES
    with exchange_world(tmp_path, names) as world, dg.DagsterInstance.ephemeral() as instance:
        world.choose("data", names)
        world.offset_seconds[0] = -2 * DAY_SECONDS
        day, before = Day(world, instance), 0
        for _ in range(rounds(3, 60)):
            day.go_on(rng.randint(1, 8))
            for name in names:
                world.exchanges[name].faults = random_faults(rng)
            day.fetch(20)
            count = world.check_stored("data")
            assert count >= before, "stored bars are gone"
            before = count
        for name in names:
            world.fault(name)
        for _ in range(2):  # gaps are asked for in the second one
            day.go_on(1)
            result = day.fetch()
        assert [row["problem"] for row in result.exchanges] == [""] * len(names)
        assert world.missing("data", day.window().end_ms) == {}
        world.check_stored("data")
        assert {name: world.exchanges[name].accounting.rate_limited for name in names} == dict.fromkeys(names, 0)
