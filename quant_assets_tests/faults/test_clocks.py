"""A system clock set an hour back or forward causes no 429, no endless wait and no lost or invented data."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from pydantic import SecretStr

from quant_assets.common.clock import SYSTEM, Clock
from quant_assets.common.settings import Settings
from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.definitions import build_definitions
from quant_assets.derivatives.datasets import DATASETS
from quant_assets.derivatives.refresh import Refresh
from quant_assets.derivatives.refresh_options import RefreshOptions
from quant_assets.derivatives.report import RefreshReport
from quant_assets.derivatives.snapshot import snapshot
from quant_assets.derivatives.store import DerivativesStore
from quant_assets.emulator import DEFAULT_KEY, Emulator, plain_universe
from quant_assets.providers.coinalyze import CallBudget, CoinalyzeClient
from quant_assets.providers.registry import DEFAULT
from quant_assets_tests.faults.workers import symbol_map_of

NOW = datetime(2026, 1, 19, 17, 45, 6, tzinfo=UTC)
HOUR = 3600.0
MARKETS = 40


@dataclass
class Machine:
    """A machine whose clock the test sets, and a provider whose clock is right."""

    folder: Path
    stack: ExitStack
    moment: datetime = NOW
    ahead_seconds: float = 0.0
    sleeps: int = 0
    #: How many times as long as requested a sleep takes.
    sleep_factor: float = 1.0

    def __post_init__(self) -> None:
        self.emulator = self.stack.enter_context(
            Emulator(plain_universe(MARKETS), calls_per_minute=40, clock=lambda: self.moment)
        )
        self.symbol_map = symbol_map_of(self.emulator.universe, self.moment)
        self.on_sleep: Callable[[int], None] = lambda number: None

    def seconds(self) -> float:
        """Return the machine's time in UNIX seconds."""
        return self.moment.timestamp() + self.ahead_seconds

    def monotonic(self) -> float:
        """Return the machine's monotonic time in seconds."""
        return (self.moment - NOW).total_seconds() + 50_000.0

    def sleep(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds * self.sleep_factor)
        self.sleeps += 1
        self.on_sleep(self.sleeps)

    def store(self) -> DerivativesStore:
        return self.stack.enter_context(closing(DerivativesStore(self.folder / "derivatives.sqlite")))

    def refresh(self, window: Window, allowed_seconds: float = 86_400.0) -> RefreshReport:
        budget = CallBudget(self.folder / "budget.sqlite", 40, clock=self.monotonic, sleep=self.sleep)
        self.stack.callback(budget.close)
        key, url = SecretStr(DEFAULT_KEY), self.emulator.url
        client = self.stack.enter_context(
            closing(CoinalyzeClient(key, url, budget, clock=self.seconds, sleep=self.sleep))
        )
        options = RefreshOptions(window, since_ms=0.0, deadline=self.monotonic() + allowed_seconds)
        refresh = Refresh(self.store(), client, lambda _: self.symbol_map, options, clock=self.seconds)
        return refresh.run()[1]

    def table(self, dataset: str, window: Window) -> pd.DataFrame:
        return snapshot(self.store(), self.symbol_map, dataset, window)  # type: ignore[arg-type]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with ExitStack() as stack:
        yield Machine(tmp_path, stack)


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_clock_change_during_a_refresh_causes_no_429_and_no_repeated_request(machine: Machine, jump: float) -> None:
    def set_once(sleep_number: int) -> None:
        machine.ahead_seconds = jump if sleep_number >= 30 else 0.0

    machine.on_sleep = set_once
    report = machine.refresh(Window.last_complete(NOW))
    assert machine.emulator.accounting.rate_limited == 0
    assert report.stopped == ""
    assert machine.emulator.accounting.calls == MARKETS * len(DATASETS)


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_clock_change_does_not_move_the_deadline_of_a_refresh(machine: Machine, jump: float) -> None:
    machine.on_sleep = lambda sleep_number: setattr(machine, "ahead_seconds", jump)
    report = machine.refresh(Window.last_complete(NOW), allowed_seconds=130.0)
    assert report.stopped == "out_of_time"
    assert machine.emulator.accounting.calls == 3 * 40
    assert (machine.moment - NOW).total_seconds() <= 130.0


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_data_fetched_under_a_wrong_clock_is_neither_fresh_nor_lost(machine: Machine, jump: float) -> None:
    machine.ahead_seconds = jump
    window = Window.last_complete(NOW)
    wrong = machine.refresh(Window.last_complete(datetime.fromtimestamp(machine.seconds(), UTC)))
    assert any("clock" in problem for problem in wrong.problems)
    machine.moment += timedelta(minutes=15)
    truly_closed = Window.last_complete(machine.moment).end_seconds
    for dataset in DATASETS:
        known = machine.store().known_through(
            dataset, machine.symbol_map[f"{dataset}_symbol"], window.end_seconds - 80_000
        )
        assert max(known.values(), default=0) <= truly_closed - WINDOW_LENGTH.total_seconds()
    machine.ahead_seconds = 0.0
    window = Window.last_complete(machine.moment)
    right = machine.refresh(window)
    assert right.problems == []
    assert right.datasets["open_interest"].fetched == MARKETS
    assert (machine.table("open_interest", window)["closed_at_ms"] == window.end_ms).all()
    assert machine.emulator.accounting.rate_limited == 0


def test_clock_behind_the_window_leaves_the_last_bars_to_the_next_refresh(
    machine: Machine,
) -> None:
    window = Window.last_complete(NOW)
    machine.ahead_seconds = -HOUR
    machine.refresh(window)
    assert (machine.table("liquidations", window)["closed_at_ms"] <= window.end_ms - HOUR * 1000).all()
    machine.ahead_seconds = 0.0
    machine.refresh(window)
    assert (machine.table("liquidations", window)["closed_at_ms"] == window.end_ms).all()
    assert (machine.table("open_interest", window)["closed_at_ms"] == window.end_ms).all()


def test_clock_skew_of_seconds_is_tolerated(machine: Machine) -> None:
    window = Window.last_complete(NOW)
    machine.ahead_seconds = 20.0
    assert machine.refresh(window).problems == []
    assert (machine.table("open_interest", window)["closed_at_ms"] == window.end_ms).all()


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_claim_expires_after_75_seconds_whatever_the_clock_does(machine: Machine, jump: float) -> None:
    window = Window.last_complete(NOW)
    other = machine.store()  # of a process that is alive but hangs
    for dataset in DATASETS:
        symbols = machine.symbol_map[f"{dataset}_symbol"]
        assert len(other.claim(dataset, symbols, int(machine.monotonic() * 1000))) == MARKETS
    machine.ahead_seconds, machine.sleep_factor = jump, 10.0
    report = machine.refresh(window)
    assert report.stopped == ""
    assert machine.emulator.accounting.calls == MARKETS * len(DATASETS)
    first = machine.emulator.accounting.accepted[0].moment
    assert 74 <= (first - NOW).total_seconds() <= 86


def test_assets_wait_by_the_monotonic_clock(tmp_path: Path) -> None:
    assert SYSTEM.monotonic is time.monotonic
    clock = Clock(seconds=lambda: 5e8, monotonic=lambda: 77.0, sleep=lambda _: None)
    resources = build_definitions(Settings(data_dir=tmp_path), clock=clock).resources
    assert resources is not None
    with resources["providers"].client(DEFAULT, clock) as client:
        assert client.budget.now() == 77.0
