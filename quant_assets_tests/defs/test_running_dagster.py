"""A running Dagster with the emulator, as users see it: over GraphQL, in Debian's Chromium, by its notices and its log.

All tests share one Dagster and its runs (the fixture `recorded`), so they are in one file, which pytest-xdist gives to
one worker. With QUANT_PICTURES set to a folder, as `make pictures` does, two pages are saved there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from playwright.sync_api import Browser, Page, expect

from quant_assets.common.windows import Window
from quant_assets.derivatives.datasets import DATASETS
from quant_assets_tests.defs.live import wait_for
from quant_assets_tests.defs.records import (
    all_skipped,
    checks,
    failed_runs,
    history,
    nodes,
    of_run,
    results_of_newest_window,
    runs_of,
)
from quant_assets_tests.defs.running import (
    ANALYSIS,
    BY_WINDOW,
    IN_BACKFILL,
    PICTURES,
    Recorded,
    Running,
    record,
    running_ui,
)

pytestmark = pytest.mark.system
ONCE = ("candles", "candle_files", "symbol_map", "trades")
EXCHANGES = ("exchange_markets", "exchange_candles")
EVALUATED = {"SUCCEEDED", "FAILED"}
PATIENCE = 30_000
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    """Start Dagster as `make ui` does, and run jobs and a backfill once for all tests."""
    with running_ui(tmp_path_factory.mktemp("running")) as running:
        yield record(running)


def test_graph_has_partitions_policies_and_checks(recorded: Recorded) -> None:
    found = nodes(recorded.live)
    assert set(found) == {*BY_WINDOW, *ONCE, *EXCHANGES, "coinalyze_markets", "disk_use"}
    assert {name for name, node in found.items() if node["isPartitioned"]} == set(BY_WINDOW)
    for name in (*DATASETS, "master_feed"):
        assert found[name]["internalFreshnessPolicy"]["failWindowSeconds"] == 900, name
        assert 0 < found[name]["internalFreshnessPolicy"]["warnWindowSeconds"] < 900, name
    for name in ("coinalyze_markets", "symbol_map"):
        assert found[name]["internalFreshnessPolicy"]["failWindowSeconds"] == 86400, name
        assert found[name]["automationCondition"]["label"], name
    for name in BY_WINDOW:
        assert found[name]["backfillPolicy"]["maxPartitionsPerRun"] >= 16, name
        assert found[name]["automationCondition"]["label"], name
    assert all("coinalyze" in found[name]["pools"] for name in (*DATASETS, "coinalyze_markets"))
    assert "analysis" in found["trades"]["pools"]
    assert not any(found[name]["pools"] for name in ANALYSIS)
    assert all("exchanges" in found[name]["pools"] for name in EXCHANGES)
    checks = {name: node["assetChecksOrError"].get("checks", []) for name, node in found.items()}
    assert {"name": "contract", "blocking": True} in checks["master_feed"]
    assert {check["name"] for check in checks["open_interest"]} >= {"coverage", "age", "refresh", "not_all_zero"}
    for name, node in found.items():
        labels = {entry["label"] for entry in node["metadataEntries"]}
        assert "dagster/code_references" in labels, name
        assert node["description"], name


def test_schedules_and_sensors_that_start_runs_are_off(recorded: Recorded) -> None:
    schedules = {entry["name"]: entry for entry in recorded.repository["schedules"]}
    assert set(schedules) == {
        "scan_every_quarter_hour",
        "fetch_every_quarter_hour",
        "refresh_until_the_next_scan",
        "prune_every_night",
    }
    assert all(entry["scheduleState"]["status"] == "STOPPED" for entry in schedules.values())
    assert schedules["scan_every_quarter_hour"]["cronSchedule"] == "*/15 * * * *"
    sensors = {entry["name"]: entry["sensorState"]["status"] for entry in recorded.repository["sensors"]}
    assert sensors == {
        "fetched_bars": "STOPPED",
        "keep_up": "STOPPED",
        "new_candles": "STOPPED",
        "tell_of_failed_runs": "RUNNING",
        "tell_of_stale_assets": "RUNNING",
    }


def test_scan_materializes_only_the_partitions_of_its_window(recorded: Recorded) -> None:
    for name in BY_WINDOW:
        assert [event["partition"] for event in of_run(recorded, name, recorded.scan)] == [recorded.world.window.key]
    for name in ONCE:
        assert len(of_run(recorded, name, recorded.scan)) == 1, name


def test_feed_has_metadata_to_plot_and_a_summary(recorded: Recorded) -> None:
    metadata = of_run(recorded, "master_feed", recorded.scan)[0]["metadata"]
    assert metadata["Legacy: WAIT"] + metadata["Legacy: LONG"] + metadata["Legacy: SHORT"] == metadata["markets"]
    assert metadata["seconds"] >= 0
    assert "markets ×" in metadata["summary"]
    for name in (*BY_WINDOW, "candles", "symbol_map"):
        assert of_run(recorded, name, recorded.scan)[0]["metadata"]["seconds"] >= 0, name


def test_signal_columns_have_feature_lineage(recorded: Recorded) -> None:
    query = """query($key: AssetKeyInput!) { assetOrError(assetKey: $key) { ... on Asset {
        assetMaterializations(limit: 1) { metadataEntries { ... on TableColumnLineageMetadataEntry {
          lineage { columnName columnDeps { assetKey { path } columnName } } } } } } } }"""
    asset = recorded.live.ask(query, key={"path": ["signals", "breakout_v2"]})["assetOrError"]
    entries = asset["assetMaterializations"][0]["metadataEntries"]
    (lineage,) = (entry["lineage"] for entry in entries if "lineage" in entry)
    made_from = {column["columnName"]: column["columnDeps"] for column in lineage}
    assert {dep["columnName"] for dep in made_from["part_obv"]} == {"trigger_side", "obv_slope"}
    assert {tuple(dep["assetKey"]["path"]) for dep in made_from["part_obv"]} == {("features",)}


def test_runs_of_one_window_take_turns(recorded: Recorded) -> None:
    runs = sorted(recorded.at_once, key=lambda run: float(run["startTime"]))
    assert len({run["tags"]["dagster/partition"] for run in runs}) == 1
    assert all(before["endTime"] <= after["startTime"] for before, after in pairwise(runs))


def test_backfill_of_windows_is_one_run_and_one_call_per_symbol(recorded: Recorded) -> None:
    live, keys = recorded.live, set(recorded.backfilled)
    runs = live.runs(tags=[{"key": "dagster/backfill", "value": recorded.backfill}])
    assert [run["status"] for run in runs] == ["SUCCESS"]
    for name in IN_BACKFILL:
        assert {event["partition"] for event in of_run(recorded, name, runs[0])} == keys, name
    assert recorded.published == recorded.world.window.key
    assert recorded.requested
    assert max(recorded.requested.values()) == 1
    lake = recorded.world.folder / "data" / "lake" / "master_feed"
    assert {file.name.removesuffix(".json.gz") for file in lake.iterdir()} >= {key.replace(":", "") for key in keys}


def test_no_check_of_a_successful_run_is_skipped(recorded: Recorded) -> None:
    failed = failed_runs(recorded.live)
    shown = {
        key: {entry["status"] for entry in history(recorded.live, *key) if entry["runId"] not in failed}
        for key in checks(recorded.live)
    }
    assert {key: statuses for key, statuses in shown.items() if not statuses <= EVALUATED} == {}


def test_every_check_is_evaluated_for_the_newest_materialization(recorded: Recorded) -> None:
    assert [key for key, execution in checks(recorded.live).items() if execution is None] == []


def test_each_run_reports_one_result_per_window(recorded: Recorded) -> None:
    materialized = {asset: recorded.live.materialized(asset, 200) for asset in BY_WINDOW}
    failed = failed_runs(recorded.live)
    for asset, name in checks(recorded.live):
        entries = [entry for entry in history(recorded.live, asset, name) if entry["runId"] not in failed]
        results = [(entry["runId"], entry["evaluation"]["partition"]) for entry in entries if entry["runId"]]
        expected = {(event["run"], event["partition"]) for event in materialized[asset]}
        assert sorted(results) == sorted(expected), (asset, name)


def test_check_run_alone_reads_stored_data_without_calls(recorded: Recorded) -> None:
    calls = recorded.world.emulator.accounting.calls
    before = len(recorded.live.materialized("open_interest", 200))
    alone = [("open_interest", "coverage"), ("open_interest", "refresh")]
    run = recorded.live.materialize([], recorded.world.window.key, checks=alone)
    assert recorded.live.finished_run(run)["status"] == "SUCCESS"
    newest = [history(recorded.live, *check)[0] for check in alone]
    assert [(entry["runId"], entry["status"]) for entry in newest] == [(run, "SUCCEEDED")] * 2
    assert recorded.world.emulator.accounting.calls == calls
    assert len(recorded.live.materialized("open_interest", 200)) == before


@pytest.fixture(scope="module")
def shared_page(browser: Browser) -> Iterator[Page]:
    """One page for all tests, since the UI's scripts are large. Without a browser, Dagster is not started."""
    opened = browser.new_page(viewport={"width": 1400, "height": 900})
    opened.set_default_timeout(PATIENCE)
    yield opened
    opened.close()


@pytest.fixture
def page(shared_page: Page) -> Iterator[Page]:
    """Leave the UI after a test, since it asks and draws every second as long as it is open."""
    yield shared_page
    shared_page.goto("about:blank")


def save(page: Page, name: str) -> None:
    if PICTURES:
        page.wait_for_timeout(5000)  # animations, and the status of each asset
        page.screenshot(path=Path(PICTURES) / f"{name}.png")


def test_lineage_page_shows_the_assets(page: Page, recorded: Recorded) -> None:
    page.set_viewport_size({"width": 1200, "height": 1030})
    page.goto(f"{recorded.live.url}/asset-groups")
    expect(page).to_have_title(re.compile("lineage", re.IGNORECASE))
    page.get_by_role("button", name="zoom_in").wait_for()
    page.get_by_role("button", name="Hide navigation").click()
    page.get_by_role("button", name="panel_show_right", exact=True).last.click()  # the list of groups
    page.get_by_role("button", name="settings", exact=True).last.click()
    page.get_by_role("menuitem", name="Expand all groups").click()
    page.keyboard.press("Escape")
    for name in (*EXCHANGES, "open_interest", "features", "breakout_v2", "master_feed", "symbol_map"):
        expect(page.get_by_text(name, exact=True).first).to_be_visible(timeout=PATIENCE)
    save(page, "lineage")


def test_feed_page_shows_freshness_summary_and_plots(page: Page, recorded: Recorded) -> None:
    page.goto(f"{recorded.live.url}/assets/master_feed")
    expect(page.get_by_text("Freshness policy").first).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_text("Fails if more than 15 minutes since last materialization")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_text("Warns if more than 12 minutes since last materialization")).to_be_visible()
    expect(page.get_by_text("follows its inputs, fills its gaps").first).to_be_visible()
    summary = page.get_by_text("markets × 3 strategies")
    folded = page.get_by_text("[Show Markdown]")
    expect(summary.or_(folded)).to_be_visible()
    if folded.count():  # a long one is shown in a window of its own
        folded.click()
    expect(summary).to_be_visible()
    if page.get_by_role("button", name="Close").count():
        page.get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Plots").click()
    expect(page.get_by_text("Legacy: WAIT")).to_be_visible(timeout=PATIENCE)
    assert page.locator("canvas").count() >= 10
    save(page, "feed_plots")


def test_partitions_page_shows_materialized_windows(page: Page, recorded: Recorded) -> None:
    windows = {event["partition"] for event in recorded.live.materialized("open_interest")}
    assert windows > set(recorded.backfilled)
    page.goto(f"{recorded.live.url}/assets/open_interest?view=partitions")
    expect(page.get_by_text(f"Materialized ({len(windows)})")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_text("Failed (0)")).to_be_visible()
    page.goto(f"{recorded.live.url}/assets/open_interest?view=partitions&partition={quote(recorded.world.window.key)}")
    expect(page.get_by_text("median_age_seconds").first).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_text("coverage").first).to_be_visible()


@dataclass
class Watched:
    """A running Dagster whose sensors are on, and its log before any run failed."""

    running: Running
    log: list[str]

    def feed(self) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(self.running.world.settings().feed_path.read_bytes())
        return found


@pytest.fixture(scope="module")
def watched(recorded: Recorded) -> Iterator[Watched]:
    """Turn the sensors on and wait until the candles, which are new to them, have been scanned."""
    running = recorded.running
    with running.sensors_on("new_candles", "keep_up", "fetched_bars"):
        wait_for(lambda: runs_of(running.live, "new_candles"), 120, "a scan of the new candles")
        wait_for(lambda: all_skipped(running.live), 120, "a skipped tick of each sensor")
        log = [COLOURS.sub("", line) for line in running.log.read_text().splitlines()]
        yield Watched(running, log)


@pytest.fixture(scope="module")
def failed(watched: Watched) -> Running:
    """Let a run fail."""
    live = watched.running.live
    nowhere = {"ops": {"candles": {"config": {"folder": str(watched.running.world.folder / "nowhere")}}}}
    assert live.finished_run(live.launch("analyse", last_window().key, nowhere))["status"] == "FAILURE"
    return watched.running


def last_window() -> Window:
    return Window.last_complete(datetime.now(UTC))


def test_changed_candles_are_scanned_when_complete(watched: Watched) -> None:
    live = watched.running.live
    before = runs_of(live, "new_candles")
    file = next(watched.running.world.candles.glob("*_15m.json"))
    os.utime(file, (file.stat().st_mtime + 1, file.stat().st_mtime + 1))
    wait_for(lambda: len(runs_of(live, "new_candles")) > len(before), 120, "a scan of the changed candles")
    runs = runs_of(live, "new_candles")
    assert len(runs) == len(before) + 1
    assert {run["jobName"] for run in runs} <= {"scan", "analyse"}


def test_failed_run_sends_a_notice(failed: Running) -> None:
    (text,) = wait_for(lambda: failed.notices("analyse of window"), 120, "a notice")
    assert "nowhere" in text


def test_stale_feed_sends_a_notice_and_updates_its_check(watched: Watched) -> None:
    """The newest feed was an hour old when Dagster started."""
    wait_for(lambda: watched.running.notices("master_feed is fresh again"), 180, "a notice of the fresh feed")
    results = wait_for(lambda: results_of_newest_window(watched.running.live), 30, "results of the check")
    assert not results[-1]
    assert results[0]


def test_feed_is_updated_after_a_refresh(watched: Watched) -> None:
    live = watched.running.live
    while True:
        window = last_window()
        if watched.feed()["window"] != window.key:
            watched.running.run("scan", window.key)
        before = watched.feed()["last_updated"]
        watched.running.run("refresh", window.key)

        def followed(window: Window = window) -> bool:
            (made,) = live.materialized("features", limit=1)
            return made["run"] in {run["runId"] for run in runs_of(live, "keep_up")} or last_window() != window

        wait_for(followed, 240, "signals and feed after the refresh")
        if last_window() == window:  # the next window is of another run
            break
    assert watched.feed()["last_updated"] > before


def test_log_has_the_address_of_the_ui(watched: Watched) -> None:
    assert any(line.startswith("Dagster's UI: http://127.0.0.1:") for line in watched.log)


def test_log_has_no_debug_lines(watched: Watched) -> None:
    assert [line for line in watched.log if "DEBUG" in line] == []


def test_skipped_ticks_are_not_logged(watched: Watched) -> None:
    assert [line for line in watched.log if "skipped" in line or "Checking for new runs" in line] == []


def test_log_has_no_warning_about_dagster_yaml(watched: Watched) -> None:
    assert [line for line in watched.log if "dagster.yaml" in line] == []


def test_log_has_no_warning_but_the_notices_of_the_old_feed(watched: Watched) -> None:
    warnings = [line for line in watched.log if "Warning" in line or "WARNING" in line]
    assert [line for line in warnings if "master_feed is " not in line] == []


def test_log_has_no_error(watched: Watched) -> None:
    assert [line for line in watched.log if "ERROR" in line or "Traceback" in line] == []
