"""Two hours of windows, unattended: schedules and conditions decide, faults come and go, the clock is virtual.

Every tick of the schedules and of the automation is evaluated by Dagster at its moment, and whatever they ask for is
run on a real instance against the emulator over HTTP, whose limit is 40 calls a minute of the same clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import orjson
import pytest

from quant_assets.clock import Clock
from quant_assets.definitions import build_definitions
from quant_assets.defs.schedules import REFRESH_MINUTES, refresh_until_the_next_scan, scan_every_quarter_hour
from quant_assets.derivatives.datasets import DATASETS
from quant_assets.emulator import (
    DEFAULT_KEY,
    Emulator,
    Faults,
    SimulatedUniverse,
    simulated_universe,
    write_candle_files,
)
from quant_assets.feed import feed_problems
from quant_assets.lake import Lake
from quant_assets.scan import open_instance
from quant_assets.settings import Settings
from quant_assets.windows import LENGTH, Window
from quant_assets_tests.world import environment

BEGIN = datetime(2026, 2, 3, 12, 0, tzinfo=UTC)
WINDOWS = 8
CALLS_PER_MINUTE = 40
STRANGERS_WINDOW, DOWN_WINDOW, REFUSED_WINDOW = 3, 4, 6
#: What goes wrong in each window, from the moment it is scanned until the next.
FAULTS: Mapping[int, Faults] = {
    1: Faults(seed=1, server_error=0.3),
    2: Faults(seed=2, cut=0.2, closed=0.2),
    DOWN_WINDOW: Faults(server_error=1.0),
    5: Faults(seed=5, slow=0.3, delay_seconds=0.02, server_error=0.1),
}


@dataclass
class Lapse:
    """The two hours, and what came of them."""

    settings: Settings
    emulator: Emulator
    seconds: float = BEGIN.timestamp()
    requested: list[tuple[datetime, str]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    published: dict[str, bytes] = field(default_factory=dict)
    rate_limited: dict[int, int] = field(default_factory=dict)
    checks: dict[str, dict[str, bool]] = field(default_factory=dict)
    metadata: dict[str, dict[str, Any]] = field(default_factory=dict)

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def until(self, moment: datetime) -> None:
        self.seconds = max(self.seconds, moment.timestamp())

    def run(self) -> None:
        """Let the two hours pass."""
        clock = Clock(seconds=lambda: self.seconds, sleep=self.sleep, steady=lambda: self.seconds)
        self.emulator.clock = self.now
        definitions = build_definitions(self.settings, clock=clock)
        with open_instance(self.settings) as instance:
            cursor = None
            for number in range(WINDOWS):
                tick = BEGIN + number * LENGTH
                for minute in (0, 1, 2, 6, 8, 10, 14):
                    moment = tick + timedelta(minutes=minute)
                    self.until(moment)
                    if minute == 0:
                        self.emulator.faults = FAULTS.get(number, Faults())
                        self.emulator.key = "another" if number == REFUSED_WINDOW else DEFAULT_KEY
                    if number == STRANGERS_WINDOW:
                        self.emulator.spend(CALLS_PER_MINUTE)
                    self._tick(definitions, instance, clock, moment)
                    evaluated: Any = dg.evaluate_automation_conditions(
                        definitions, instance, cursor=cursor, evaluation_time=self.now()
                    )
                    cursor = evaluated.cursor
                    self._materialize(definitions, instance, evaluated)
                window = Window.last_complete(tick)
                self.published[window.key] = self.settings.feed_path.read_bytes()
                self.rate_limited[number] = self.emulator.accounting.rate_limited
                self._note(instance, window)

    def _tick(self, definitions: dg.Definitions, instance: dg.DagsterInstance, clock: Clock, tick: datetime) -> None:
        """Evaluate the schedule whose tick this is, and run what it asks for."""
        minute = tick.minute % 15
        if minute not in {0, *REFRESH_MINUTES}:
            return
        schedule = refresh_until_the_next_scan if minute else scan_every_quarter_hour
        request = schedule(dg.build_schedule_context(scheduled_execution_time=tick, resources={"clock": clock}))
        if isinstance(request, dg.SkipReason):
            self.failed.append(f"{schedule.name} passed over {tick:%H:%M}")
            return
        result = definitions.resolve_job_def(schedule.job_name).execute_in_process(
            instance=instance,
            partition_key=request.partition_key,
            run_config=request.run_config,
            tags=request.tags,
            raise_on_error=False,
        )
        self._enter(schedule.job_name, result)

    def _materialize(self, definitions: dg.Definitions, instance: dg.DagsterInstance, evaluated: Any) -> None:
        """Run what the conditions ask for."""
        keys = [result.key for result in evaluated.results if result.true_subset.size]
        if not keys:
            return
        partitions = {
            key
            for result in evaluated.results
            if result.true_subset.is_partitioned
            for key in result.true_subset.expensively_compute_partition_keys()
        }
        assert len(partitions) <= 1, "no gap is expected"
        result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance,
            asset_selection=keys,
            partition_key=next(iter(partitions), None),
            raise_on_error=False,
        )
        self._enter("keep_up", result)

    def _enter(self, name: str, result: dg.ExecuteInProcessResult) -> None:
        self.requested.append((self.now(), name))
        if not result.success:
            self.failed.append(f"{name} at {self.now():%H:%M}")

    def _note(self, instance: dg.DagsterInstance, window: Window) -> None:
        """Keep what Dagster shows of the derivatives at the end of a window."""
        checks = {}
        for name in ("coverage", "age", "refresh"):
            key = dg.AssetCheckKey(dg.AssetKey("open_interest"), name)
            (record,) = instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
            checks[name] = record.status.value == "SUCCEEDED"
        self.checks[window.key] = checks
        event = instance.get_latest_materialization_event(dg.AssetKey("open_interest"))
        assert event is not None
        metadata = event.asset_materialization.metadata  # type: ignore[union-attr]
        self.metadata[window.key] = {name: value.value for name, value in metadata.items()}


@pytest.fixture(scope="module")
def lapse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lapse]:
    folder = tmp_path_factory.mktemp("lapse")
    universe = simulated_universe()
    chosen = SimulatedUniverse(universe.listings, seed=universe.seed, scanned=universe.scanned[::6])
    write_candle_files(chosen, folder / "candles", BEGIN + WINDOWS * LENGTH)
    with (
        Emulator(universe, calls_per_minute=CALLS_PER_MINUTE) as emulator,
        environment(COINALYZE_API_KEY=DEFAULT_KEY, DAGSTER_HOME=str(folder / "data" / "dagster")),
    ):
        settings = Settings(
            base_url=emulator.url,
            calls_per_minute=CALLS_PER_MINUTE,
            data_dir=folder / "data",
            candles_dir=folder / "candles",
        )
        lapsed = Lapse(settings, emulator)
        lapsed.run()
        yield lapsed


def keys() -> list[str]:
    return [Window.last_complete(BEGIN + number * LENGTH).key for number in range(WINDOWS)]


def test_no_window_is_without_a_feed_that_keeps_its_contract(lapse: Lapse) -> None:
    lake = Lake(lapse.settings.lake_dir)
    for key in keys():
        feed = lake.read_document(["master_feed"], key)
        assert feed is not None, key
        assert feed_problems(feed) == [], key
        assert orjson.loads(lapse.published[key])["window"] == key
        assert orjson.loads(feed)["stats"]["markets"] >= 12


def test_nothing_was_passed_over_and_no_run_failed(lapse: Lapse) -> None:
    assert lapse.failed == []
    jobs = [name for _, name in lapse.requested]
    assert jobs.count("scan") == WINDOWS
    assert jobs.count("refresh") == 3 * WINDOWS


def test_no_429_was_of_our_own_doing(lapse: Lapse) -> None:
    """A stranger who spends the whole limit brings some; without him there is none."""
    before_him, with_him = lapse.rate_limited[STRANGERS_WINDOW - 1], lapse.rate_limited[STRANGERS_WINDOW]
    assert before_him == 0
    assert 0 < with_him <= 14
    assert lapse.rate_limited[WINDOWS - 1] == with_him


def test_the_feed_follows_each_refresh_that_brought_something(lapse: Lapse) -> None:
    first = [name for moment, name in lapse.requested if moment < BEGIN + LENGTH]
    assert first.count("keep_up") >= 2


def test_every_degradation_is_seen_in_a_check_or_in_metadata(lapse: Lapse) -> None:
    down, refused = keys()[DOWN_WINDOW], keys()[REFUSED_WINDOW]
    assert lapse.checks[down]["refresh"] is False
    assert lapse.metadata[down]["stopped"] == "provider_unavailable"
    assert lapse.checks[refused]["refresh"] is False
    assert lapse.metadata[refused]["stopped"] == "key_refused"
    healthy = keys()[-1]
    assert lapse.checks[healthy] == {"coverage": True, "age": True, "refresh": True}
    assert lapse.metadata[healthy]["stopped"] in {"no", "out_of_time"}
    assert lapse.metadata[down]["median_age_seconds"] > lapse.metadata[healthy]["median_age_seconds"]


def test_data_that_could_not_be_had_are_carried_forward_with_their_age(lapse: Lapse) -> None:
    feed = orjson.loads(lapse.published[keys()[DOWN_WINDOW]])
    known = [signal["oi_metadata"] for signal in feed["signals"] if signal["oi_metadata"]["value"] is not None]
    assert len(known) > len(feed["signals"]) / 2
    assert min(entry["age_seconds"] for entry in known) >= 900
    last = orjson.loads(lapse.published[keys()[-1]])
    assert last["stats"]["freshness"]["open_interest"]["median_age_seconds"] == 0


def test_the_two_hours_left_the_files_they_should_and_no_key(lapse: Lapse) -> None:
    lake = lapse.settings.lake_dir
    for dataset in DATASETS:
        assert len(list((lake / dataset).iterdir())) == WINDOWS
    assert not list(Path(lapse.settings.data_dir).rglob("*.tmp"))
