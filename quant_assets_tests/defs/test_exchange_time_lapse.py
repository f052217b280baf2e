"""Windows in time-lapse with an exchange that fails at random: each has its feed, started by schedule and sensor alone.

`make system` runs the first windows with two exchanges, `make soak` a day with eight.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import orjson
import pytest

from quant_assets.candles.bar_gaps import BarGaps
from quant_assets.common.clock import Clock
from quant_assets.common.settings import Settings
from quant_assets.common.timeframes import STEP_MS
from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.definitions import build_definitions
from quant_assets.defs.exchanges.fetches import fetch_every_quarter_hour
from quant_assets.defs.exchanges.scans import fetched_bars
from quant_assets.emulator import simulated_universe
from quant_assets.emulator.exchanges import (
    APIS,
    ExchangeEmulators,
    ExchangeFaults,
    ExchangeUniverse,
    exchanges_of_universe,
)
from quant_assets.emulator.exchanges.contract import Contract
from quant_assets.emulator.faults import KINDS
from quant_assets.orchestration.exchange_source import bar_store
from quant_assets.orchestration.instance import open_instance
from quant_assets.orchestration.job_runs import QUIET_LOGGERS
from quant_assets.storage.lake import Lake
from quant_assets_tests.candles.exchanges.test_fetched_day import BEGIN
from quant_assets_tests.faults.seeding import LONG, rounds, seeded_random
from quant_assets_tests.memory import check_memory_is_flat, resident_mib

pytestmark = pytest.mark.system

WINDOWS, TOP = rounds(4, 96), rounds(2, 4)
NAMES = tuple(APIS) if LONG else ("BYBIT", "MEXC")
FAILING = "BYBIT"
FAULTS: tuple[dict[str, Any], ...] = ({}, {"down": True}, {"html": 1.0}, {"late": 0.5, "late_seconds": 1000.0})


class JumpingClock:
    """A clock that runs as fast as the real one, and can be set forward."""

    def __init__(self, seconds: float) -> None:
        self._ahead = seconds - time.time()

    def seconds(self) -> float:
        return time.time() + self._ahead

    def go_to(self, seconds: float) -> None:
        """Set the clock forward, never back."""
        self._ahead += max(seconds - self.seconds(), 0.0)


@dataclass
class ScannedDay:
    """A data folder whose windows are fetched and scanned as schedule and sensor request it."""

    exchanges: ExchangeEmulators
    settings: Settings
    clock: JumpingClock
    instance: dg.DagsterInstance
    windows: list[Window] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    scans: dict[str, int] = field(default_factory=dict)
    memory_mib: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Build the definitions with the clock of the exchanges."""
        self.definitions = build_definitions(self.settings, clock=Clock(seconds=self.clock.seconds))
        self.random = seeded_random("scanned day")
        self.cursor: str | None = None

    def run(self) -> None:
        """Run all windows. In the last two nothing fails."""
        for number in range(WINDOWS):
            tick = datetime.fromtimestamp(BEGIN, UTC) + number * WINDOW_LENGTH
            window = Window.last_complete(tick)
            self.windows.append(window)
            self.clock.go_to(window.end_seconds + 1)
            fails = 0 < number < WINDOWS - 2
            script = {"script": tuple(self.random.choice(("", *KINDS)) for _ in range(20))}
            faults = self.random.choice((*FAULTS, script)) if fails else {}
            self.exchanges[FAILING].faults = ExchangeFaults(**faults)
            self._fetch(tick)
            self._scan(window)
            self.memory_mib.append(resident_mib())

    def _resources(self, names: Any) -> dict[str, Any]:
        return {name: (self.definitions.resources or {})[name] for name in names}

    def _fetch(self, tick: datetime) -> None:
        resources = self._resources(fetch_every_quarter_hour.required_resource_keys)
        context = dg.build_schedule_context(scheduled_execution_time=tick, resources=resources)
        request: Any = fetch_every_quarter_hour(context)
        self._execute("fetch", request)

    def _scan(self, window: Window) -> None:
        """Execute what the sensor requests now, and what it requests 20 s and 3 minutes after the window's end."""
        for seconds in (0, 20, 180):
            self.clock.go_to(window.end_seconds + seconds)
            context = dg.build_sensor_context(
                cursor=self.cursor, resources=self._resources(fetched_bars.required_resource_keys)
            )
            request: Any = fetched_bars(context)
            self.cursor = context.cursor
            if isinstance(request, dg.RunRequest):
                assert request.partition_key == window.key
                self.scans[window.key] = self.scans.get(window.key, 0) + 1
                self._execute(str(request.job_name), request)

    def _execute(self, job: str, request: dg.RunRequest) -> None:
        result = self.definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            partition_key=request.partition_key,
            asset_selection=request.asset_selection,
            run_config=dg.RunConfig(ops=request.run_config.get("ops"), loggers=QUIET_LOGGERS),
            raise_on_error=False,
        )
        if not result.success:
            self.failed.append(f"{job} {request.run_key}")

    def feed(self, window: Window) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(
            Lake(self.settings.lake_dir).read_document(["master_feed"], window.key) or b"{}"
        )
        return found


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScannedDay]:
    folder, clock = tmp_path_factory.mktemp("scanned_day"), JumpingClock(BEGIN)
    universe = exchanges_of_universe(simulated_universe())
    # The largest markets would change within a day.
    chosen = [f"{name}:{contract.id}" for name in NAMES for contract in _perpetuals(universe, name)]
    (folder / "exchanges.toml").write_text(
        f"exchanges = {orjson.dumps(NAMES).decode()}\ninclude = {orjson.dumps(chosen).decode()}\n"
        "min_quote_volume_24h = 1e15\nhistory_days = 16\n"
    )
    long_ago = BEGIN - timedelta(days=1).total_seconds()
    os.utime(folder / "exchanges.toml", (long_ago, long_ago))
    with (
        pytest.MonkeyPatch.context() as environment,
        ExchangeEmulators(
            universe, clock=lambda: datetime.fromtimestamp(clock.seconds(), UTC), names=NAMES
        ) as exchanges,
    ):
        environment.setenv("DAGSTER_HOME", str(folder / "dagster"))
        settings = Settings(data_dir=folder, exchange_urls=exchanges.urls, key_variable="QUANT_ASSETS_NO_KEY")
        # In memory, the records of a day's runs would hide what else grows.
        with open_instance(settings) if LONG else dg.DagsterInstance.ephemeral() as instance:
            made = ScannedDay(exchanges, settings, clock, instance)
            made.run()
            yield made


def _perpetuals(universe: ExchangeUniverse, name: str) -> list[Contract]:
    """Return the markets of an exchange that are fetched."""
    linear = [each for each in universe.contracts(name) if each.perpetual and not each.inverse]
    return [each for each in linear if each.trades_at(BEGIN - timedelta(days=30).total_seconds())][:TOP]


def test_every_window_has_its_feed_of_every_market(day: ScannedDay) -> None:
    assert day.failed == []
    markets = {window.key: day.feed(window)["stats"]["markets"] for window in day.windows}
    assert markets == dict.fromkeys(markets, len(NAMES) * TOP)
    assert [day.feed(window)["window"] for window in day.windows] == [window.key for window in day.windows]


def test_window_is_scanned_on_time_and_at_most_four_times(day: ScannedDay) -> None:
    assert set(day.scans) == {window.key for window in day.windows}
    assert max(day.scans.values()) <= 4


def test_every_window_has_open_interest_and_funding_of_its_moment_without_a_key(day: ScannedDay) -> None:
    """The exchange that fails keeps its earlier values, with their age."""
    signals = [signal for window in day.windows for signal in day.feed(window)["signals"]]
    sound = [signal for signal in signals if signal["exchange"] != FAILING]
    assert sound
    for signal in sound:
        interest, funding = signal["oi_metadata"], signal["derivatives"]["funding_rate"]
        assert (interest["status"], interest["provider"], interest["age_seconds"]) == ("resolved", "exchange", 0)
        assert interest["coinalyze_symbol"] is None
        assert (funding["provider"], funding["age_seconds"]) == ("exchange", 0)
    failing = [signal["oi_metadata"] for signal in signals if signal["exchange"] == FAILING]
    assert {found["provider"] for found in failing} == {"exchange"}
    assert all(found["age_seconds"] % 900 == 0 for found in failing)


def test_every_exchange_is_up_to_date_after_the_faults(day: ScannedDay) -> None:
    store, newest_ms = bar_store(day.settings), day.windows[-1].end_ms - STEP_MS["15m"]
    assert {times.newest_ms for name in NAMES for times in store.last_times(name, "15m").values()} == {newest_ms}


def test_store_has_no_gap_that_was_not_asked_for(day: ScannedDay) -> None:
    gaps = BarGaps(bar_store(day.settings))
    assert all(gaps.between_bars(name, timeframe)["asked"].all() for name in NAMES for timeframe in STEP_MS)


@pytest.mark.skipif(not LONG, reason="growth is judged by a whole day: make soak")
def test_memory_does_not_grow(day: ScannedDay) -> None:
    check_memory_is_flat(day.memory_mib)
