"""The cluster of all tests of this folder: store, control and two workers, each a machine of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from quant_assets.emulator import Faults
from quant_assets_tests.cluster.forwarder import forwarded
from quant_assets_tests.cluster.machines import Machine, machines, require_namespaces
from quant_assets_tests.defs.live import wait_for
from quant_assets_tests.defs.postgresql import (
    DATABASE_PASSWORD,
    PostgresqlServer,
    new_database,
    running_postgresql,
)
from quant_assets_tests.defs.redis import redis_server
from quant_assets_tests.defs.workers import BROKER_PASSWORD, WORKERS, Cluster, Host, start_cluster
from quant_assets_tests.programs import postgresql_programs
from quant_assets_tests.s3 import s3_server
from quant_assets_tests.world import environment, small_world

MARKETS = int(os.environ.get("QUANT_CLUSTER_MARKETS", "24"))
WINDOWS_PER_RUN = os.environ.get("QUANT_CLUSTER_WINDOWS", "16")
#: What takes the place of texts in dagster.yaml: a backfill on both workers.
SETTINGS = {"- key: dagster/backfill\n        limit: 1\n": f"- key: dagster/backfill\n        limit: {len(WORKERS)}\n"}
#: What the tests have measured, as lines.
MEASURED = pytest.StashKey[list[str]]()
UNFINISHED = ["QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING"]


@dataclass
class Installation:
    """The cluster, its machines, and the PostgreSQL server of the store."""

    cluster: Cluster
    machines: dict[str, Machine]
    database: PostgresqlServer


@pytest.fixture(scope="session")
def _installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    require_namespaces()
    postgresql_programs()
    folder = tmp_path_factory.mktemp("cluster")
    with ExitStack() as stack:
        world = stack.enter_context(small_world(folder, markets=MARKETS))
        found = stack.enter_context(machines(folder, ("store", "control", *WORKERS)))
        store = found["store"]
        data = folder / "store" / "postgresql"
        data.mkdir()
        database = stack.enter_context(
            running_postgresql(PostgresqlServer(data, DATABASE_PASSWORD, 5432, store.address, store.prefix))
        )
        databases = new_database(database.url), new_database(database.url)
        broker = stack.enter_context(redis_server(BROKER_PASSWORD, store.address, 6379, store.prefix))
        objects = stack.enter_context(s3_server(lambda: store.listen(store.address, 9000)))
        stack.enter_context(environment(**objects.environment))  # to read the lake here
        port = urlsplit(world.emulator.url).port or 0
        for name in ("control", *WORKERS):
            stack.enter_context(forwarded(found[name].listen("127.0.0.1", port), port))
        hosts = {name: Host(name, machine.address, machine.prefix) for name, machine in found.items()}
        cluster = start_cluster(
            stack, world, hosts, broker, objects, databases, SETTINGS, {"QUANT_WINDOWS_PER_RUN": WINDOWS_PER_RUN}
        )
        cluster.succeeded("market_list")
        cluster.succeeded("scan", world.window.key)
        yield Installation(cluster, found, database)


@pytest.fixture
def installation(_installation: Installation) -> Iterator[Installation]:
    """Return the cluster with both workers; afterwards wait until no run is left."""
    cluster = _installation.cluster
    for name in WORKERS:
        if name not in cluster.workers:
            cluster.workers[name] = cluster.start_worker(name)
    yield _installation
    cluster.world.emulator.faults = Faults()
    cluster.objects.before = lambda *_: None
    wait_for(lambda: not cluster.live.runs(statuses=UNFINISHED), 120, "the last run")


@pytest.fixture
def cluster(installation: Installation) -> Cluster:
    return installation.cluster


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Return what adds a line to the figures at the end of the output."""
    return request.config.stash.setdefault(MEASURED, []).append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what the tests have measured."""
    if lines := config.stash.get(MEASURED, []):
        terminalreporter.section("measured")
        for line in lines:
            terminalreporter.line(line)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Look for credentials last, in what all tests left."""
    items.sort(key=lambda item: item.path.name == "test_credentials.py")
