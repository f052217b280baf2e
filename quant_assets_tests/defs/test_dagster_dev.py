"""`dagster dev` with the emulator, over GraphQL, as the UI uses it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import orjson
import pytest

from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.derivatives.datasets import DATASETS
from quant_assets_tests.defs.live import Live, dagster_dev, prepare_home
from quant_assets_tests.world import World, small_world

SIGNALS = ("signals/breakout", "signals/breakout_v2", "signals/legacy")
ANALYSIS = ("candle_features", "watchlist", "features", *SIGNALS, "master_feed")
BY_WINDOW = (*DATASETS, *ANALYSIS)
ONCE = ("candles", "candle_files", "symbol_map")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with small_world(tmp_path_factory.mktemp("dev"), markets=12) as made:
        yield made


@pytest.fixture(scope="module")
def live(world: World) -> Iterator[Live]:
    home = world.folder / "data" / "dagster"
    prepare_home(home)
    with dagster_dev(world.environment(), home) as running:
        yield running


@pytest.fixture(scope="module")
def scanned(live: Live, world: World) -> Live:
    """Fetch the market list and scan one window."""
    assert live.finished_run(live.launch("market_list"))["status"] == "SUCCESS"
    assert live.finished_run(live.launch("scan", world.window.key))["status"] == "SUCCESS"
    return live


def nodes(live: Live) -> dict[str, dict[str, Any]]:
    query = """{ assetNodes { assetPath: assetKey { path } groupName isPartitioned description kinds
      owners { ... on TeamAssetOwner { team } } pools jobNames
      dependencyKeys { path } backfillPolicy { maxPartitionsPerRun policyType }
      internalFreshnessPolicy { __typename ... on TimeWindowFreshnessPolicy { failWindowSeconds warnWindowSeconds } }
      automationCondition { label }
      assetChecksOrError { ... on AssetChecks { checks { name blocking } } }
      metadataEntries { label } } }"""
    return {"/".join(node["assetPath"]["path"]): node for node in live.ask(query)["assetNodes"]}


def test_graph_has_partitions_policies_and_checks(live: Live) -> None:
    found = nodes(live)
    assert set(found) == {*BY_WINDOW, *ONCE, "coinalyze_markets", "disk_use"}
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
    assert all("analysis" in found[name]["pools"] for name in ANALYSIS)
    checks = {name: node["assetChecksOrError"].get("checks", []) for name, node in found.items()}
    assert {"name": "contract", "blocking": True} in checks["master_feed"]
    assert {check["name"] for check in checks["open_interest"]} >= {"coverage", "age", "refresh", "not_all_zero"}
    for name, node in found.items():
        labels = {entry["label"] for entry in node["metadataEntries"]}
        assert "dagster/code_references" in labels, name
        assert node["description"], name


def test_schedules_and_sensors_that_start_runs_are_off(live: Live) -> None:
    query = """{ repositoriesOrError { ... on RepositoryConnection { nodes {
      schedules { name cronSchedule executionTimezone scheduleState { status } }
      sensors { name sensorType sensorState { status } } } } } }"""
    repository = live.ask(query)["repositoriesOrError"]["nodes"][0]
    schedules = {entry["name"]: entry for entry in repository["schedules"]}
    assert set(schedules) == {"scan_every_quarter_hour", "refresh_until_the_next_scan", "prune_every_night"}
    assert all(entry["scheduleState"]["status"] == "STOPPED" for entry in schedules.values())
    assert schedules["scan_every_quarter_hour"]["cronSchedule"] == "*/15 * * * *"
    sensors = {entry["name"]: entry["sensorState"]["status"] for entry in repository["sensors"]}
    assert sensors == {
        "keep_up": "STOPPED",
        "new_candles": "STOPPED",
        "tell_of_failed_runs": "RUNNING",
        "tell_of_stale_assets": "RUNNING",
    }


def test_scan_materializes_only_the_partitions_of_its_window(scanned: Live, world: World) -> None:
    for name in BY_WINDOW:
        assert {event["partition"] for event in scanned.materialized(name)} == {world.window.key}, name
    for name in ONCE:
        assert len(scanned.materialized(name)) == 1, name
    feed = orjson.loads((world.folder / "data" / "master_feed.json").read_bytes())
    assert feed["window"] == world.window.key


def test_feed_has_metadata_to_plot_and_a_summary(scanned: Live) -> None:
    metadata = scanned.materialized("master_feed")[0]["metadata"]
    assert metadata["Legacy: WAIT"] + metadata["Legacy: LONG"] + metadata["Legacy: SHORT"] == metadata["markets"]
    assert metadata["seconds"] >= 0
    assert "markets ×" in metadata["summary"]
    for name in (*BY_WINDOW, "candles", "symbol_map"):
        assert scanned.materialized(name)[0]["metadata"]["seconds"] >= 0, name


def test_signal_columns_have_feature_lineage(scanned: Live) -> None:
    query = """query($key: AssetKeyInput!) { assetOrError(assetKey: $key) { ... on Asset {
        assetMaterializations(limit: 1) { metadataEntries { ... on TableColumnLineageMetadataEntry {
          lineage { columnName columnDeps { assetKey { path } columnName } } } } } } } }"""
    asset = scanned.ask(query, key={"path": ["signals", "breakout_v2"]})["assetOrError"]
    entries = asset["assetMaterializations"][0]["metadataEntries"]
    (lineage,) = (entry["lineage"] for entry in entries if "lineage" in entry)
    made_from = {column["columnName"]: column["columnDeps"] for column in lineage}
    assert {dep["columnName"] for dep in made_from["part_obv"]} == {"trigger_side", "obv_slope"}
    assert {tuple(dep["assetKey"]["path"]) for dep in made_from["part_obv"]} == {("features",)}


def test_repeated_scan_costs_no_call(scanned: Live, world: World) -> None:
    calls = world.emulator.accounting.calls
    run = scanned.launch("scan", world.window.key)
    assert scanned.finished_run(run)["status"] == "SUCCESS"
    assert world.emulator.accounting.calls == calls
    for dataset in DATASETS:
        newest = scanned.materialized(dataset)[0]
        assert newest["run"] == run
        assert newest["metadata"]["calls"] == 0
        assert newest["metadata"]["cache_hits"] > 0


def test_runs_of_one_window_take_turns(scanned: Live, world: World) -> None:
    jobs = ("refresh", "analyse", "scan", "analyse", "refresh")
    runs = [scanned.finished_run(run) for run in [scanned.launch(job, world.window.key) for job in jobs]]
    assert {run["status"] for run in runs} == {"SUCCESS"}
    runs.sort(key=lambda run: float(run["startTime"]))
    assert all(before["endTime"] <= after["startTime"] for before, after in pairwise(runs))


def test_backfill_of_16_windows_is_one_run_and_one_call_per_symbol(scanned: Live, world: World) -> None:
    windows = [Window(world.window.end - back * WINDOW_LENGTH) for back in range(100, 84, -1)]
    keys = [window.key for window in windows]
    before = len(world.emulator.accounting.accepted)
    feed = (world.folder / "data" / "master_feed.json").read_bytes()
    backfill = scanned.backfill(BY_WINDOW, keys)
    assert scanned.finished_backfill(backfill) == "COMPLETED_SUCCESS"
    runs = scanned.runs(tags=[{"key": "dagster/backfill", "value": backfill}])
    assert [run["status"] for run in runs] == ["SUCCESS"]
    for name in BY_WINDOW:
        assert {event["partition"] for event in scanned.materialized(name)} >= set(keys), name
    assert (world.folder / "data" / "master_feed.json").read_bytes() == feed
    requested = Counter(
        (request.endpoint, symbol)
        for request in world.emulator.accounting.accepted[before:]
        for symbol in request.symbols
    )
    assert requested
    assert max(requested.values()) == 1
    lake = world.folder / "data" / "lake" / "master_feed"
    assert {file.name.removesuffix(".json.gz") for file in lake.iterdir()} >= {key.replace(":", "") for key in keys}
