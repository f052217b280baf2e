"""Windows with faults, on a virtual clock (quant_assets_tests/time_lapse.py) and 40 calls a minute.

`make soak` runs a whole day of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import orjson
import pytest

from quant_assets.common.settings import Settings
from quant_assets.common.windows import WINDOW_LENGTH, Window
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
from quant_assets.storage.lake import Lake
from quant_assets_tests.time_lapse import TimeLapse, shown_checks, shown_metadata
from quant_assets_tests.world import environment

BEGIN = datetime(2026, 2, 3, 12, 0, tzinfo=UTC)
WINDOWS = 6
CALLS_PER_MINUTE = 40
pytestmark = pytest.mark.system
#: An hour after the first window all datasets are due again, so that a refresh of several batches gives up on them.
FAULTY_WINDOW, SHARED_KEY_WINDOW, REFUSED_WINDOW, DOWN_WINDOW = 1, 2, 3, 4
#: The faults of each window, from its scan until the next one.
FAULTS: Mapping[int, Faults] = {
    FAULTY_WINDOW: Faults(seed=6, server_error=0.2, cut=0.1, closed=0.1, slow=0.2, delay_seconds=0.02),
    DOWN_WINDOW: Faults(server_error=1.0),
}


@dataclass
class FaultyWindows(TimeLapse):
    """The windows, and what each of them left."""

    published: dict[str, bytes] = field(default_factory=dict)
    rate_limited: dict[int, int] = field(default_factory=dict)
    checks: dict[str, dict[str, bool]] = field(default_factory=dict)
    metadata: dict[str, dict[str, Any]] = field(default_factory=dict)
    retries_by_window: dict[str, dict[str, int]] = field(default_factory=dict)

    def apply_faults(self, number: int, minute: int) -> None:
        """Set the faults of a window."""
        if minute == 0:
            self.emulator.faults = FAULTS.get(number, Faults())
            self.emulator.key = "another" if number == REFUSED_WINDOW else DEFAULT_KEY
        if number == SHARED_KEY_WINDOW:
            self.emulator.spend(CALLS_PER_MINUTE)

    def run_all(self) -> None:
        """Run all windows."""
        self.before = self.apply_faults
        with self.opened() as instance:
            for number in range(WINDOWS):
                self.run_window(instance, number)
                window = self.window(number)
                self.published[window.key] = self.settings.feed_path.read_bytes()
                self.rate_limited[number] = self.emulator.accounting.rate_limited
                self.checks[window.key] = shown_checks(instance)
                self.metadata[window.key] = shown_metadata(instance)
                self.retries_by_window[window.key] = self.retries_of_all_runs(instance, window)

    def retries_of_all_runs(self, instance: dg.DagsterInstance, window: Window) -> dict[str, int]:
        """Return the retries and rate-limited requests of all runs of a window."""
        wanted = dg.AssetRecordsFilter(dg.AssetKey("open_interest"), asset_partitions=[window.key])
        found = [
            record.asset_materialization.metadata  # type: ignore[union-attr]
            for record in instance.fetch_materializations(wanted, limit=100).records
        ]
        return {name: sum(int(each[name].value) for each in found) for name in ("retries", "rate_limited")}  # type: ignore[call-overload]


@pytest.fixture(scope="module")
def lapse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyWindows]:
    folder = tmp_path_factory.mktemp("lapse")
    universe = simulated_universe()
    chosen = SimulatedUniverse(universe.listings, seed=universe.seed, scanned=universe.scanned[::6])
    write_candle_files(chosen, folder / "candles", BEGIN + WINDOWS * WINDOW_LENGTH)
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
        settings.data_dir.mkdir()
        after_each_run = (0, 2, 6, 14)  # of the schedules, at 0, 1, 3 and 8
        lapsed = FaultyWindows(settings, emulator, BEGIN, evaluated=after_each_run, in_memory=True)
        lapsed.run_all()
        yield lapsed


def keys() -> list[str]:
    return [Window.last_complete(BEGIN + number * WINDOW_LENGTH).key for number in range(WINDOWS)]


def test_every_window_has_a_valid_feed(lapse: FaultyWindows) -> None:
    lake = Lake(lapse.settings.lake_dir)
    for key in keys():
        feed = lake.read_document(["master_feed"], key)
        assert feed is not None, key
        assert feed_problems(feed) == [], key
        assert orjson.loads(lapse.published[key])["window"] == key
        assert orjson.loads(feed)["stats"]["markets"] >= 12


def test_no_tick_is_skipped_and_no_run_fails(lapse: FaultyWindows) -> None:
    assert lapse.failed == []
    jobs = [name for _, name in lapse.requested]
    assert jobs.count("scan") == WINDOWS
    assert jobs.count("refresh") == 3 * WINDOWS


def test_own_requests_cause_no_429(lapse: FaultyWindows) -> None:
    """Another client of the same key causes some; without it there are none."""
    before, shared = lapse.rate_limited[SHARED_KEY_WINDOW - 1], lapse.rate_limited[SHARED_KEY_WINDOW]
    assert before == 0
    assert 0 < shared <= 14
    assert lapse.rate_limited[WINDOWS - 1] == shared


def test_feed_is_updated_after_refreshes(lapse: FaultyWindows) -> None:
    first = [name for moment, name in lapse.requested if moment < BEGIN + WINDOW_LENGTH]
    assert first.count("keep_up") >= 2


def test_every_degradation_is_shown_in_a_check_or_metadata(lapse: FaultyWindows) -> None:
    down, refused = keys()[DOWN_WINDOW], keys()[REFUSED_WINDOW]
    assert lapse.checks[down]["refresh"] is False
    assert lapse.metadata[down]["stopped"] == "provider_unavailable"
    assert lapse.checks[refused]["refresh"] is False
    assert lapse.metadata[refused]["stopped"] == "key_refused"
    for number in FAULTS:
        assert lapse.retries_by_window[keys()[number]]["retries"] > 0, number
    assert lapse.retries_by_window[keys()[SHARED_KEY_WINDOW]]["rate_limited"] > 0
    assert not any(lapse.retries_by_window[keys()[0]].values())
    healthy = keys()[-1]
    assert lapse.checks[healthy] == {"coverage": True, "age": True, "refresh": True}
    assert lapse.metadata[healthy]["stopped"] in {"no", "out_of_time"}
    assert lapse.metadata[down]["median_age_seconds"] > lapse.metadata[healthy]["median_age_seconds"]


def test_missing_data_are_carried_forward_with_their_age(lapse: FaultyWindows) -> None:
    feed = orjson.loads(lapse.published[keys()[DOWN_WINDOW]])
    known = [signal["oi_metadata"] for signal in feed["signals"] if signal["oi_metadata"]["value"] is not None]
    assert len(known) > len(feed["signals"]) / 2
    assert min(entry["age_seconds"] for entry in known) >= 900
    last = orjson.loads(lapse.published[keys()[-1]])
    assert last["stats"]["freshness"]["open_interest"]["median_age_seconds"] == 0


def test_lake_has_one_file_per_window_and_no_temporary_files(lapse: FaultyWindows) -> None:
    lake = lapse.settings.lake_dir
    for dataset in DATASETS:
        assert len(list((lake / dataset).iterdir())) == WINDOWS
    assert not list(Path(lapse.settings.data_dir).rglob("*.tmp"))
