"""Run Dagster's own processes in tests, and query their GraphQL API as the UI does."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import requests

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
Found = TypeVar("Found")

SELECTOR = {"repositoryLocationName": "quant_assets", "repositoryName": "__repository__"}
FINISHED = {"SUCCESS", "FAILURE", "CANCELED"}
#: The status of a backfill that has not ended.
GOING_ON = {"REQUESTED", "CANCELING", "FAILING"}

LAUNCH = """
mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
BACKFILL = """
mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""


def wait_for(what: Callable[[], Found | None], seconds: float, doing: str) -> Found:
    """Call `what` until it returns something true, and return that; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < deadline, f"{doing}: not within {seconds:.0f} s"
        time.sleep(1.0)


@dataclass
class Live:
    """A Dagster webserver that is ready."""

    url: str

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """Send a GraphQL query; return its data."""
        body = requests.post(f"{self.url}/graphql", json={"query": query, "variables": variables}, timeout=60).json()
        assert "errors" not in body, body["errors"]
        data: dict[str, Any] = body["data"]
        return data

    def launch(self, job: str, partition: str = "", config: Mapping[str, Any] | None = None, **more_tags: str) -> str:
        """Launch a job, for a window if `partition` is given, with more tags `dagster/…`; return the run's id."""
        named = {**({"partition": partition} if partition else {}), **more_tags}
        tags = [{"key": f"dagster/{name}", "value": value} for name, value in named.items()]
        params = {
            "selector": {**SELECTOR, "pipelineName": job},
            "runConfigData": config or {},
            "executionMetadata": {"tags": tags},
        }
        answer = self.ask(LAUNCH, params=params)["launchRun"]
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return str(answer["run"]["runId"])

    def materialize(
        self, assets: Sequence[str], partition: str, checks: Sequence[tuple[str, str]] | None = None
    ) -> str:
        """Launch a run of these assets, with all of their checks or with `checks`; return its id."""
        selection: dict[str, Any] = {"assetSelection": [{"path": name.split("/")} for name in assets]}
        if checks is not None:
            selection["assetCheckSelection"] = [
                {"assetKey": {"path": asset.split("/")}, "name": name} for asset, name in checks
            ]
        params = {
            "selector": {**SELECTOR, "pipelineName": "__ASSET_JOB", **selection},
            "runConfigData": {},
            "executionMetadata": {"tags": [{"key": "dagster/partition", "value": partition}]},
        }
        answer = self.ask(LAUNCH, params=params)["launchRun"]
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return str(answer["run"]["runId"])

    def backfill(self, assets: Sequence[str], partitions: Sequence[str]) -> str:
        """Launch a backfill; return its id."""
        params = {
            "assetSelection": [{"path": name.split("/")} for name in assets],
            "partitionNames": list(partitions),
        }
        answer = self.ask(BACKFILL, params=params)["launchPartitionBackfill"]
        assert answer["__typename"] == "LaunchBackfillSuccess", answer
        return str(answer["backfillId"])

    def runs(self, **filters: Any) -> list[dict[str, Any]]:
        """Return the runs, the newest first."""
        query = """query($filter: RunsFilter!) { runsOrError(filter: $filter, limit: 500) { ... on Runs { results {
            runId status jobName startTime endTime creationTime tags { key value } } } } }"""
        results: list[dict[str, Any]] = self.ask(query, filter=filters)["runsOrError"]["results"]
        return [{**run, "tags": {tag["key"]: tag["value"] for tag in run["tags"]}} for run in results]

    def finished_run(self, run_id: str, seconds: float = 120) -> dict[str, Any]:
        """Wait until a run has finished, and return it."""

        def finished() -> dict[str, Any] | None:
            found = self.runs(runIds=[run_id])
            return found[0] if found and found[0]["status"] in FINISHED else None

        return wait_for(finished, seconds, f"run {run_id}")

    def finished_backfill(self, backfill_id: str, seconds: float = 180) -> str:
        """Wait until a backfill has finished, and return its status."""
        wait_for(lambda: self.backfill_status(backfill_id) not in GOING_ON, seconds, f"backfill {backfill_id}")
        return self.backfill_status(backfill_id)

    def backfill_status(self, backfill_id: str) -> str:
        query = """query($id: String!) {
            partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } } }"""
        return str(self.ask(query, id=backfill_id)["partitionBackfillOrError"]["status"])

    def materialized(self, asset: str, limit: int = 100) -> list[dict[str, Any]]:
        """Return the materializations of an asset, the newest first, with their metadata as a dictionary."""
        query = """query($key: AssetKeyInput!, $limit: Int!) { assetOrError(assetKey: $key) { ... on Asset {
            assetMaterializations(limit: $limit) { partition runId metadataEntries { label
              ... on IntMetadataEntry { intValue } ... on FloatMetadataEntry { floatValue }
              ... on BoolMetadataEntry { boolValue } ... on TextMetadataEntry { text }
              ... on MarkdownMetadataEntry { mdStr } } } } } }"""
        found = self.ask(query, key={"path": asset.split("/")}, limit=limit)["assetOrError"]
        return [
            {
                "partition": event["partition"],
                "run": event["runId"],
                "metadata": {
                    entry["label"]: next((value for name, value in entry.items() if name != "label"), None)
                    for entry in event["metadataEntries"]
                },
            }
            for event in found.get("assetMaterializations", [])
        ]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def prepare_home(home: Path, *more: Path) -> None:
    """Create DAGSTER_HOME as `make ui` does, or as docs/deploy.md says with more settings."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "dagster.yaml").write_bytes(b"".join(path.read_bytes() for path in (ROOT / "dagster.yaml", *more)))


@contextmanager
def process(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    log: Path,
    cwd: Path = ROOT,
    prefix: Sequence[str] = (),
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program of Dagster, through the command `prefix` if given; at the end, stop it and all of its children."""
    with log.open("ab") as output:
        program = subprocess.Popen(
            [*prefix, str(BIN / arguments[0]), *arguments[1:]],
            cwd=cwd,
            env=dict(environment),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield program
    finally:
        stop_process_group(program, signal.SIGTERM)


def stop_process_group(program: subprocess.Popen[bytes], how: signal.Signals) -> None:
    """Stop a program and all processes that it started."""
    for number in (how, signal.SIGKILL):
        try:
            os.killpg(program.pid, number)
        except ProcessLookupError:
            break
        try:
            program.wait(20)
        except subprocess.TimeoutExpired:
            continue
    program.wait(20)


@contextmanager
def dagster_dev(environment: Mapping[str, str], home: Path) -> Iterator[Live]:
    """Run `dagster dev`."""
    with dagster_dev_process(environment, home) as (_, live):
        yield live


@contextmanager
def dagster_dev_process(environment: Mapping[str, str], home: Path) -> Iterator[tuple[subprocess.Popen[bytes], Live]]:
    """Run `dagster dev`, and yield its process too."""
    port = free_port()
    given = {**environment, "DAGSTER_HOME": str(home)}
    arguments = ["dagster", "dev", "--host", "127.0.0.1", "--port", str(port)]
    with process(arguments, given, home / "dev.log") as program:
        yield program, ready(f"http://127.0.0.1:{port}", home / "dev.log")


def ready(url: str, log: Path) -> Live:
    """Wait until the code location is loaded behind a webserver."""
    live = Live(url)

    def loaded() -> bool:
        try:
            found = live.ask("{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }")
        except (requests.RequestException, ValueError):
            return False
        return bool(found["repositoriesOrError"].get("nodes"))

    try:
        wait_for(loaded, 90, "the code location")
    except AssertionError:
        raise AssertionError(log.read_text(errors="replace")[-4000:]) from None
    return live
