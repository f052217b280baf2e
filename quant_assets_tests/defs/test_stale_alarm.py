"""The sensor `staleness_alert` and the check `newest_window`, which use the newest window in the lake."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from quant_assets.common.clock import SYSTEM, Clock
from quant_assets.common.settings import Settings
from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.definitions import build_definitions
from quant_assets.defs.alerts import staleness_alert
from quant_assets.defs.feed.newest_window import newest_window
from quant_assets.orchestration.market_list_run import fetch_market_lists_if_due
from quant_assets.storage.lake import DOCUMENT_SUFFIX, Lake, compress_document
from quant_assets_tests.providers.coinalyze.scripted import Canned, ScriptedServer
from quant_assets_tests.world import World, kept_in_memory

NOON = datetime(2026, 2, 3, 12, 0, tzinfo=UTC)
#: Ended at noon.
WINDOW = Window(NOON)
MINUTE = timedelta(minutes=1)
CHECK = dg.AssetCheckKey(dg.AssetKey("master_feed"), "newest_window")


class Alarm:
    """The sensor with the test's own clock; its check results are stored in an instance."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance, webhook: ScriptedServer) -> None:
        self.now = NOON
        clock = Clock(seconds=self._seconds, sleep=SYSTEM.sleep)
        self.lake, self.instance, self.webhook = Lake(settings.lake_dir), instance, webhook
        self.definitions = build_definitions(settings, clock=clock)
        self.cursor: str | None = None
        self.reported: list[bool] = []
        needed = staleness_alert.required_resource_keys
        self.resources = {name: (self.definitions.resources or {})[name] for name in needed}

    def _seconds(self) -> float:
        return self.now.timestamp()

    def tick(self, moment: datetime) -> None:
        """Evaluate the sensor at a moment, as the daemon does."""
        self.now = moment
        context = dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, definitions=self.definitions, resources=self.resources
        )
        result = staleness_alert(context)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        for event in result.asset_events:
            assert isinstance(event, dg.AssetCheckEvaluation)
            self.instance.report_runless_asset_event(event)
            self.reported.append(event.passed)

    def tick_at(self, *minutes: int) -> None:
        """Evaluate the sensor at these minutes after noon."""
        for minute in minutes:
            self.tick(NOON + minute * MINUTE)

    def add(self, name: str, window: Window) -> None:
        """Store a window of an asset."""
        if name == "master_feed":
            self.lake.write_document([name], window.key, compress_document(b"{}"))
        else:
            self.lake.write(name.split("/"), window.key, pd.DataFrame({"value": [1.0]}))

    def set_freshness(self, name: str, state: str) -> None:
        """Set Dagster's freshness state of an asset."""
        from dagster._core.definitions.freshness import FreshnessState, FreshnessStateChange  # noqa: PLC0415

        self.instance._report_runless_asset_event(
            FreshnessStateChange(
                key=dg.AssetKey(name),
                new_state=FreshnessState(state),
                previous_state=FreshnessState.UNKNOWN,
                state_change_timestamp=self.now.timestamp(),
            )
        )

    def notices(self) -> list[str]:
        return [json.loads(body)["text"] for body in self.webhook.bodies]

    def subjects(self) -> list[str]:
        return [text.splitlines()[0] for text in self.notices()]

    def shown_check(self) -> bool:
        """Return whether Dagster shows the check as passed."""
        (record,) = self.instance.event_log_storage.get_asset_check_execution_history(CHECK, limit=1)
        return record.status.value == "SUCCEEDED"


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    with ScriptedServer(Canned(body=b"ok")) as server:
        monkeypatch.setenv("QUANT_WEBHOOK_URL", server.url)
        yield server


@pytest.fixture
def alarm(tmp_path: Path, webhook: ScriptedServer) -> Iterator[Alarm]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Alarm(Settings(data_dir=tmp_path), instance, webhook)


@pytest.mark.parametrize("name", ["master_feed", "open_interest", "features", "signals/legacy"])
def test_stale_asset_sends_one_notice_and_one_when_fresh_again(alarm: Alarm, name: str) -> None:
    alarm.add(name, WINDOW)
    alarm.tick_at(0, 15, 18)
    assert alarm.subjects() == []
    alarm.tick_at(19, 20, 35, 50)
    assert alarm.subjects() == [f"{name} is stale"]
    alarm.add(name, Window(NOON + 3 * WINDOW_LENGTH))
    alarm.tick_at(51, 60)
    assert alarm.subjects() == [f"{name} is stale", f"{name} is fresh again"]


def test_notice_names_the_newest_window_and_what_to_check(alarm: Alarm) -> None:
    alarm.add("master_feed", WINDOW)
    alarm.tick_at(45)
    (notice,) = alarm.notices()
    assert "newest window is 2026-02-03-11:45, which ended at 2026-02-03 12:00 UTC" in notice
    assert "2026-02-03-12:00 has been missing since 2026-02-03 12:15 UTC" in notice
    assert "check the runs of 2026-02-03-12:00" in notice


def test_materializing_an_old_window_keeps_the_asset_stale(alarm: Alarm) -> None:
    alarm.add("master_feed", WINDOW)
    alarm.tick_at(45)
    for back in (1, 2, 90):
        alarm.add("master_feed", Window(NOON - back * WINDOW_LENGTH))
        alarm.tick_at(46 + back)
    assert alarm.subjects() == ["master_feed is stale"]
    assert alarm.reported == [False]


def test_new_installation_is_not_stale(alarm: Alarm) -> None:
    alarm.tick_at(0, 4, 19, 60)
    assert alarm.notices() == []
    assert alarm.reported == []


def test_windows_older_than_a_day_are_not_stale(alarm: Alarm) -> None:
    alarm.add("master_feed", Window(NOON - timedelta(days=8)))
    alarm.tick_at(0, 20)
    assert alarm.notices() == []


def test_asset_stays_stale_when_its_newest_window_is_removed(alarm: Alarm) -> None:
    alarm.add("master_feed", WINDOW)
    for hours in (0, 1, 23, 25, 60):
        alarm.tick(NOON + timedelta(hours=hours))
    Path(alarm.lake.describe(["master_feed"], WINDOW.key, DOCUMENT_SUFFIX)).unlink()
    alarm.tick(NOON + timedelta(hours=61))
    assert alarm.subjects() == ["master_feed is stale"]
    alarm.add("master_feed", Window(NOON + timedelta(hours=62)))
    alarm.tick(NOON + timedelta(hours=62))
    assert alarm.subjects() == ["master_feed is stale", "master_feed is fresh again"]


def test_sensor_reports_the_check_only_when_it_changes(alarm: Alarm) -> None:
    alarm.add("master_feed", WINDOW)
    alarm.tick_at(0, 15, 18)
    assert alarm.reported == []
    alarm.tick_at(19, 20, 40)
    assert alarm.reported == [False]
    assert not alarm.shown_check()
    alarm.add("master_feed", Window(NOON + 2 * WINDOW_LENGTH))
    alarm.tick_at(41, 42, 48)
    assert alarm.reported == [False, True]
    assert alarm.shown_check()


def test_check_fails_again_after_a_window_between_two_ticks(alarm: Alarm) -> None:
    alarm.add("master_feed", WINDOW)
    alarm.tick_at(45)
    alarm.add("master_feed", Window(NOON + 4 * WINDOW_LENGTH))  # whose run reports that the check passes
    alarm.tick_at(135)
    assert alarm.reported == [False, False]


def test_window_of_a_recovery_can_become_stale_itself(alarm: Alarm) -> None:
    alarm.add("master_feed", WINDOW)
    alarm.tick_at(45)
    alarm.add("master_feed", Window(NOON + 2 * WINDOW_LENGTH))
    alarm.tick_at(46, 49, 50, 47, 51)  # once the clock is set back
    assert alarm.reported == [False, True, False, True, False]
    assert not alarm.shown_check()
    assert alarm.subjects()[-2:] == ["master_feed is fresh again", "master_feed is stale"]


@pytest.mark.parametrize(
    ("states", "subjects"),
    [
        (("PASS", "FAIL", "FAIL", "FAIL", "FAIL", "FAIL", "PASS"), ["is stale", "is fresh again"]),
        (("PASS", "FAIL", "PASS", "FAIL", "PASS"), []),
    ],
    ids=["for a while", "for a moment"],
)
def test_unpartitioned_asset_uses_its_freshness_policy(
    alarm: Alarm, states: tuple[str, ...], subjects: list[str]
) -> None:
    for minute, state in enumerate(states):
        alarm.set_freshness("symbol_map", state)
        alarm.tick_at(minute)
    assert alarm.subjects() == [f"symbol_map {subject}" for subject in subjects]


def test_partitioned_assets_ignore_dagsters_freshness_state(alarm: Alarm) -> None:
    alarm.add("master_feed", WINDOW)
    for minute in range(10):
        alarm.set_freshness("master_feed", "FAIL")
        alarm.tick_at(minute)
    assert alarm.subjects() == []


def test_cursor_of_an_earlier_version_is_accepted(alarm: Alarm) -> None:
    alarm.add("master_feed", WINDOW)
    alarm.cursor = json.dumps({"since": {"master_feed": NOON.timestamp()}, "told": ["master_feed", "features"]})
    alarm.tick_at(45)
    assert alarm.subjects() == []
    alarm.add("master_feed", Window(NOON + 3 * WINDOW_LENGTH))
    alarm.tick_at(46)
    assert alarm.subjects() == ["master_feed is fresh again"]


def test_every_asset_with_a_freshness_policy_is_watched(alarm: Alarm) -> None:
    specs = [spec for spec in alarm.definitions.resolve_all_asset_specs() if spec.freshness_policy]
    for spec in specs:
        if spec.partitions_def:
            alarm.add(spec.key.to_user_string(), WINDOW)
        else:
            alarm.set_freshness(spec.key.to_user_string(), "FAIL")
    alarm.tick_at(20, 24)
    assert sorted(alarm.subjects()) == sorted(f"{spec.key.to_user_string()} is stale" for spec in specs)


def test_future_window_in_the_cursor_is_ignored(tmp_path: Path) -> None:
    future = Window(NOON + timedelta(days=400))
    assert newest_window(Lake(tmp_path), ["master_feed"], NOON, future) is None


def test_window_that_has_not_ended_is_not_the_newest(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    for window in (WINDOW, Window(NOON + WINDOW_LENGTH)):
        lake.write(["features"], window.key, pd.DataFrame({"value": [1.0]}))
    assert newest_window(lake, ["features"], NOON + 14 * MINUTE) == WINDOW


@contextmanager
def installation(world: World, name: str, webhook: ScriptedServer) -> Iterator[Alarm]:
    """An installation of a world, whose runs and alarm go by the test's clock."""
    settings = world.settings(name)
    with kept_in_memory(world) as kept, kept.opened(name) as instance:
        alarm = Alarm(settings, instance, webhook)
        alarm.now = world.window.end
        fetch_market_lists_if_due(settings, alarm.definitions, instance)
        yield alarm


def scan(alarm: Alarm, window: Window, at: datetime) -> None:
    alarm.now = at
    job = alarm.definitions.resolve_job_def("scan")
    assert job.execute_in_process(instance=alarm.instance, partition_key=window.key).success


def test_backfill_keeps_the_alert_and_the_failed_check(world: World, webhook: ScriptedServer) -> None:
    first, newest = Window(world.window.end - 4 * WINDOW_LENGTH), world.window
    with installation(world, "stale_alarm", webhook) as alarm:
        scan(alarm, first, at=first.end + MINUTE)
        assert alarm.shown_check()
        alarm.tick(first.end + MINUTE)
        assert alarm.notices() == []

        alarm.tick(newest.end + MINUTE)
        stale = alarm.subjects()
        assert "master_feed is stale" in stale
        assert "features is stale" in stale
        assert not alarm.shown_check()

        scan(alarm, Window(first.end - 3 * WINDOW_LENGTH), at=newest.end + 2 * MINUTE)  # as a backfill does
        assert not alarm.shown_check()
        alarm.tick(newest.end + 3 * MINUTE)
        assert alarm.subjects() == stale
        assert not alarm.shown_check()

        scan(alarm, newest, at=newest.end + 4 * MINUTE)
        assert alarm.shown_check()
        alarm.tick(newest.end + 5 * MINUTE)
        assert alarm.shown_check()
        fresh = {subject.replace("stale", "fresh again") for subject in stale}
        assert set(alarm.subjects()[len(stale) :]) == fresh
