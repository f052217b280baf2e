"""Queries about what a running Dagster has recorded: assets, runs, results of checks, ticks of sensors."""

from __future__ import annotations

from typing import Any

from quant_assets_tests.defs.live import Live
from quant_assets_tests.defs.running import BY_WINDOW, Recorded

CHECKS = """query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
  assetChecksOrError { ... on AssetChecks { checks {
    name executionForLatestMaterialization { status runId evaluation { partition } } } } } } } }"""
HISTORY = """query($key: AssetKeyInput!, $name: String!) {
  assetCheckExecutions(assetKey: $key, checkName: $name, limit: 200) {
    runId status evaluation { partition metadataEntries { label } } } }"""
CHECKED = """query($key: AssetKeyInput!) {
    assetCheckExecutions(assetKey: $key, checkName: "newest_window", limit: 100) { evaluation { success } } }"""
SENSORS = """{ repositoriesOrError { ... on RepositoryConnection { nodes { sensors {
  name sensorState { ticks(limit: 100) { status } } } } } } }"""


def nodes(live: Live) -> dict[str, dict[str, Any]]:
    query = """{ assetNodes { assetPath: assetKey { path } groupName isPartitioned description kinds
      owners { ... on TeamAssetOwner { team } } pools jobNames
      dependencyKeys { path } backfillPolicy { maxPartitionsPerRun policyType }
      internalFreshnessPolicy { __typename ... on TimeWindowFreshnessPolicy { failWindowSeconds warnWindowSeconds } }
      automationCondition { label }
      assetChecksOrError { ... on AssetChecks { checks { name blocking } } }
      metadataEntries { label } } }"""
    return {"/".join(node["assetPath"]["path"]): node for node in live.ask(query)["assetNodes"]}


def of_run(recorded: Recorded, asset: str, run: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the materializations of an asset by a run."""
    return [event for event in recorded.live.materialized(asset) if event["run"] == run["runId"]]


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


def failed_runs(live: Live) -> set[str]:
    """Return the runs that failed, whose checks were planned and not evaluated."""
    return {run["runId"] for run in live.runs(statuses=["FAILURE"])}


def results_of_newest_window(live: Live) -> list[bool]:
    """Return the results of the feed's check `newest_window`, the newest first."""
    found = live.ask(CHECKED, key={"path": ["master_feed"]})["assetCheckExecutions"]
    return [execution["evaluation"]["success"] for execution in found if execution["evaluation"]]


def runs_of(live: Live, sensor: str) -> list[dict[str, Any]]:
    tag = {"key": "dagster/sensor_name", "value": sensor}
    return live.runs(tags=[tag], statuses=["SUCCESS"])


def all_skipped(live: Live) -> bool:
    """Return whether every sensor has skipped a tick."""
    (repository,) = live.ask(SENSORS)["repositoriesOrError"]["nodes"]
    ticks = {sensor["name"]: sensor["sensorState"]["ticks"] for sensor in repository["sensors"]}
    return all(any(tick["status"] == "SKIPPED" for tick in found) for found in ticks.values())
