"""The automation conditions of the assets, evaluated by Dagster on a real instance."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.definitions import build_definitions
from quant_assets.derivatives.datasets import DATASETS
from quant_assets.orchestration.market_list_run import fetch_market_lists_if_due
from quant_assets_tests.world import World, kept_in_memory

SIGNALS = ("signals/breakout", "signals/breakout_v2", "signals/legacy")
FOLLOWING = {"features", *SIGNALS, "master_feed"}
BY_WINDOW = {*DATASETS, "candle_features", "watchlist", "track_record", *FOLLOWING}


@pytest.fixture(scope="module")
def world(world: World) -> Iterator[World]:
    with kept_in_memory(world) as kept:
        yield kept


class Evaluated:
    """Dagster's evaluation of all conditions, tick by tick."""

    def __init__(self, definitions: dg.Definitions, instance: dg.DagsterInstance) -> None:
        self.definitions, self.instance, self.cursor = definitions, instance, None

    def at(self, moment: datetime) -> dict[str, set[str]]:
        """Return what is requested at a moment: asset → windows ("" for an unpartitioned asset)."""
        found: Any = dg.evaluate_automation_conditions(
            self.definitions, self.instance, cursor=self.cursor, evaluation_time=moment
        )
        self.cursor = found.cursor
        return {
            result.key.to_user_string(): {key or "" for key in result.true_subset.expensively_compute_partition_keys()}
            if result.true_subset.is_partitioned
            else {""}
            for result in found.results
            if result.true_subset.size
        }


@pytest.fixture(autouse=True)
def _api_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COINALYZE_API_KEY", "any")


@contextmanager
def fresh(world: World, name: str) -> Iterator[Evaluated]:
    settings = world.settings(name)
    definitions = build_definitions(settings)
    with world.opened(name) as instance:
        fetch_market_lists_if_due(settings, definitions, instance)
        yield Evaluated(definitions, instance)


def every_asset(windows: set[str]) -> dict[str, set[str]]:
    return dict.fromkeys(BY_WINDOW, windows)


def run(evaluated: Evaluated, job: str, window: Window, *, must_succeed: bool = True) -> None:
    result = evaluated.definitions.resolve_job_def(job).execute_in_process(
        instance=evaluated.instance, partition_key=window.key, raise_on_error=False
    )
    assert result.success is must_succeed


def test_new_installation_requests_no_old_windows(world: World) -> None:
    with fresh(world, "new") as evaluated:
        assert evaluated.at(world.moment) == {}
        assert evaluated.at(world.moment + timedelta(seconds=30)) == {}


def test_order_of_scan_and_refresh_between_two_ticks_counts(world: World) -> None:
    with fresh(world, "between") as evaluated:
        moment, follow = world.window.end, {name: {world.window.key} for name in FOLLOWING}
        evaluated.at(moment)
        run(evaluated, "scan", world.window)
        run(evaluated, "refresh", world.window)
        assert evaluated.at(moment + timedelta(seconds=30)) == follow
        run(evaluated, "refresh", world.window)  # the requested run may have begun before
        assert evaluated.at(moment + timedelta(seconds=60)) == follow
        assert evaluated.at(moment + timedelta(seconds=65)) == {}
        run(evaluated, "refresh", world.window)
        run(evaluated, "analyse", world.window)
        assert evaluated.at(moment + timedelta(seconds=90)) == {}


def test_scan_that_failed_after_derivatives_is_continued_once(world: World) -> None:
    with fresh(world, "broken_off") as evaluated:
        evaluated.at(world.window.end)
        in_the_way = world.folder / "broken_off" / "lake" / "features"
        in_the_way.parent.mkdir(parents=True, exist_ok=True)
        in_the_way.touch()
        run(evaluated, "scan", world.window, must_succeed=False)
        in_the_way.unlink()
        follow = {name: {world.window.key} for name in FOLLOWING}
        assert evaluated.at(world.window.end + timedelta(seconds=30)) == follow
        assert evaluated.at(world.window.end + timedelta(seconds=60)) == {}


def test_scan_requests_nothing_and_a_list_after_it_requests_the_map(world: World) -> None:
    with fresh(world, "map") as evaluated:
        evaluated.at(world.window.end)
        run(evaluated, "scan", world.window)
        assert evaluated.at(world.window.end + timedelta(seconds=20)) == {}
        fetch_list = evaluated.definitions.resolve_job_def("market_list")
        assert fetch_list.execute_in_process(instance=evaluated.instance).success
        assert evaluated.at(world.window.end + timedelta(seconds=30)) == {"symbol_map": {""}}
        assert evaluated.at(world.window.end + timedelta(seconds=60)) == {}


def test_missed_windows_are_requested_once_without_the_newest(world: World) -> None:
    with fresh(world, "night") as evaluated:
        evaluated.at(world.window.end)
        run(evaluated, "scan", world.window)
        evaluated.at(world.window.end + timedelta(minutes=1))
        morning = world.window.end + 40 * WINDOW_LENGTH + timedelta(minutes=7)
        missed = {Window(world.window.end + n * WINDOW_LENGTH).key for n in range(1, 40)}
        assert evaluated.at(morning) == every_asset(missed)
        assert evaluated.at(morning + timedelta(seconds=30)) == {}


def test_failed_window_is_retried_once_after_the_next_one(world: World) -> None:
    with fresh(world, "failed") as evaluated:
        evaluated.at(world.window.end - WINDOW_LENGTH)
        run(evaluated, "scan", Window(world.window.end - WINDOW_LENGTH))
        evaluated.at(world.window.end + timedelta(seconds=20))
        config = {"ops": {"candles": {"config": {"folder": os.devnull}}}}
        failed = evaluated.definitions.resolve_job_def("scan").execute_in_process(
            instance=evaluated.instance, partition_key=world.window.key, raise_on_error=False, run_config=config
        )
        assert not failed.success
        assert evaluated.at(world.window.end + timedelta(minutes=1)) == {}
        following = world.window.end + WINDOW_LENGTH + timedelta(seconds=20)
        assert evaluated.at(following) == every_asset({world.window.key})
        assert evaluated.at(following + WINDOW_LENGTH) == every_asset({Window(world.window.end + WINDOW_LENGTH).key})


def test_missing_list_is_requested_at_once_and_then_hourly(world: World) -> None:
    settings = world.settings("list")
    definitions = build_definitions(settings)
    with world.opened("list") as instance:
        evaluated = Evaluated(definitions, instance)
        hour = world.moment.replace(minute=0, second=0, microsecond=0)
        assert evaluated.at(hour) == {"coinalyze_markets": {""}}
        assert evaluated.at(hour + timedelta(minutes=1)) == {}
        assert evaluated.at(hour + timedelta(minutes=8)) == {"coinalyze_markets": {""}}
        assert evaluated.at(hour + timedelta(minutes=9)) == {}
        assert evaluated.at(hour + timedelta(minutes=68)) == {"coinalyze_markets": {""}}
        run(evaluated, "scan", world.window)
        evaluated.at(hour + timedelta(minutes=69))
        fetch_market_lists_if_due(settings, definitions, instance)
        assert evaluated.at(hour + timedelta(minutes=70)) == {"symbol_map": {""}}


def test_missing_list_is_not_requested_without_a_key(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COINALYZE_API_KEY")
    definitions = build_definitions(world.settings("keyless"))
    with world.opened("keyless") as instance:
        evaluated = Evaluated(definitions, instance)
        hour = world.moment.replace(minute=0, second=0, microsecond=0)
        assert [evaluated.at(hour + timedelta(minutes=minutes)) for minutes in (0, 1, 8, 68)] == [{}] * 4


def test_list_of_another_provider_is_fetched_again(world: World) -> None:
    with fresh(world, "provider") as evaluated:
        hour = world.moment.replace(minute=0, second=0, microsecond=0)
        evaluated.at(hour)
        run(evaluated, "scan", world.window)
        evaluated.at(hour + timedelta(minutes=8))
        other = world.settings("provider", base_url="https://api.example.com/v1")
        moved = Evaluated(build_definitions(other), evaluated.instance)
        moved.cursor = evaluated.cursor
        assert "coinalyze_markets" in {
            name for minutes in (30, 68) for name in moved.at(hour + timedelta(minutes=minutes))
        }


def test_list_and_map_are_refreshed_by_their_freshness_policy(world: World) -> None:
    from dagster._core.definitions.freshness import FreshnessState, FreshnessStateChange  # noqa: PLC0415

    with fresh(world, "policy") as evaluated:
        hour = world.moment.replace(minute=0, second=0, microsecond=0)
        run(evaluated, "scan", world.window)
        evaluated.at(hour + timedelta(minutes=8))
        assert not evaluated.at(hour + timedelta(minutes=68)).keys() & {"coinalyze_markets", "symbol_map"}
        for turned, ticks in (("WARN", (69, 70, 128, 129)), ("FAIL", (130, 131, 188, 189))):
            for name in ("coinalyze_markets", "symbol_map"):
                evaluated.instance._report_runless_asset_event(
                    FreshnessStateChange(
                        key=dg.AssetKey(name),
                        new_state=FreshnessState(turned),
                        previous_state=FreshnessState.PASS,
                        state_change_timestamp=hour.timestamp(),
                    )
                )
            requested = [evaluated.at(hour + timedelta(minutes=minutes)) for minutes in ticks]
            assert ["coinalyze_markets" in tick for tick in requested] == [False, False, True, False], turned
            # By its policy, and again after the list.
            assert ["symbol_map" in tick for tick in requested] == [True, False, True, False], turned
