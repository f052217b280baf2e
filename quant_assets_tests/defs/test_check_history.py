"""Checks of partitioned assets, as Dagster's UI shows them after many runs of the same windows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.derivatives.datasets import DATASETS
from quant_assets_tests.defs.live import Live, dagster_dev, prepare_home
from quant_assets_tests.world import World, small_world

SIGNALS = ("signals/breakout", "signals/breakout_v2", "signals/legacy")
BY_WINDOW = (*DATASETS, "candle_features", "watchlist", "features", *SIGNALS, "master_feed")
EVALUATED = {"SUCCEEDED", "FAILED"}
CHECKS = """query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
  assetChecksOrError { ... on AssetChecks { checks {
    name executionForLatestMaterialization { status runId evaluation { partition } } } } } } } }"""
HISTORY = """query($key: AssetKeyInput!, $name: String!) {
  assetCheckExecutions(assetKey: $key, checkName: $name, limit: 200) {
    runId status evaluation { partition metadataEntries { label } } } }"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with small_world(tmp_path_factory.mktemp("checks"), markets=6) as made:
        yield made


@pytest.fixture(scope="module")
def live(world: World) -> Iterator[Live]:
    home = world.folder / "data" / "dagster"
    prepare_home(home)
    with dagster_dev(world.environment(), home) as running:
        for job, window in (("market_list", ""), ("scan", world.window.key)):
            assert running.finished_run(running.launch(job, window))["status"] == "SUCCESS"
        yield running


@pytest.fixture(scope="module")
def interleaved(live: Live, world: World) -> Live:
    """Run two windows and a backfill at once, and at last a run that overtakes another one."""
    before = Window(world.window.end - WINDOW_LENGTH).key
    backfill = live.backfill(BY_WINDOW, [Window(world.window.end - back * WINDOW_LENGTH).key for back in (4, 3)])
    runs = [
        live.launch("refresh", world.window.key),
        live.launch("analyse", world.window.key),
        live.materialize(["open_interest"], before),
    ]
    assert live.finished_backfill(backfill) == "COMPLETED_SUCCESS"
    runs += [
        live.launch("refresh", before),  # holds its window until the next two are in the queue
        live.launch("analyse", before, priority="-5"),
        live.launch("analyse", before),
    ]
    ended = [live.finished_run(run, 240) for run in runs]
    assert {run["status"] for run in ended} == {"SUCCESS"}
    assert ended[-1]["endTime"] < ended[-2]["startTime"], "the last run was to overtake the one before"
    return live


def checks(live: Live) -> dict[tuple[str, str], dict[str, Any] | None]:
    """Return the result of each check that the UI shows, by asset and name."""
    found = {}
    for asset in BY_WINDOW:
        node = live.ask(CHECKS, key={"path": asset.split("/")})["assetNodeOrError"]
        for entry in node["assetChecksOrError"].get("checks", []):
            found[asset, entry["name"]] = entry["executionForLatestMaterialization"]
    return found


def history(live: Live, asset: str, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = live.ask(HISTORY, key={"path": asset.split("/")}, name=name)["assetCheckExecutions"]
    return found


def test_no_check_of_a_successful_run_is_skipped(interleaved: Live) -> None:
    shown = {key: {entry["status"] for entry in history(interleaved, *key)} for key in checks(interleaved)}
    assert {key: statuses for key, statuses in shown.items() if not statuses <= EVALUATED} == {}


def test_every_check_is_evaluated_for_the_newest_materialization(interleaved: Live) -> None:
    assert [key for key, execution in checks(interleaved).items() if execution is None] == []


def test_each_run_reports_one_result_per_window(interleaved: Live) -> None:
    materialized = {asset: interleaved.materialized(asset, 200) for asset in BY_WINDOW}
    for asset, name in checks(interleaved):
        entries = history(interleaved, asset, name)
        results = [(entry["runId"], entry["evaluation"]["partition"]) for entry in entries if entry["runId"]]
        expected = {(event["run"], event["partition"]) for event in materialized[asset]}
        assert sorted(results) == sorted(expected), (asset, name)


def test_check_run_alone_reads_stored_data_without_calls(interleaved: Live, world: World) -> None:
    calls = world.emulator.accounting.calls
    before = len(interleaved.materialized("open_interest", 200))
    alone = [("open_interest", "coverage"), ("open_interest", "refresh")]
    run = interleaved.materialize([], world.window.key, checks=alone)
    assert interleaved.finished_run(run)["status"] == "SUCCESS"
    newest = [history(interleaved, *check)[0] for check in alone]
    assert [(entry["runId"], entry["status"]) for entry in newest] == [(run, "SUCCEEDED")] * 2
    assert world.emulator.accounting.calls == calls
    assert len(interleaved.materialized("open_interest", 200)) == before
