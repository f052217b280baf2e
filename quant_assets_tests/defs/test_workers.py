"""Runs on workers, as deploy/workers/ says: Celery, Redis, PostgreSQL and an object store, and no folder in common."""

from __future__ import annotations

import configparser
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import orjson
import pytest

from quant_assets.common.windows import Window
from quant_assets.emulator import Faults
from quant_assets.signals import discover_strategies
from quant_assets.storage.documents import Document
from quant_assets.storage.lake import Lake
from quant_assets_tests.defs.live import (
    ROOT,
    Live,
    free_port,
    prepare_home,
    process,
    ready,
    stop_process_group,
    wait_for,
)
from quant_assets_tests.defs.postgresql import DATABASE_PASSWORD, new_database
from quant_assets_tests.defs.redis import RedisServer, redis_server
from quant_assets_tests.programs import postgresql_programs
from quant_assets_tests.s3 import BUCKET, SECRET, s3_server
from quant_assets_tests.world import World, environment, kept_in_memory, small_world

KEY = "s3cret-k3y-of-workers"
BROKER_PASSWORD = "br0ker-passw0rd"
LAKE, FEED = f"s3://{BUCKET}/lake", f"s3://{BUCKET}/master_feed.json"
#: The tag of a run with the id of its task in Celery.
TASK_TAG = "dagster-celery/task_id"
SYSTEMD, WORKERS = ROOT / "deploy" / "systemd", ROOT / "deploy" / "workers"


@dataclass
class Cluster:
    """A running installation; its workers have no folder in common."""

    world: World
    live: Live
    broker: RedisServer
    databases: tuple[str, str]
    """Of Dagster's records, and of the project's data."""
    workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def worker_of(self, run_id: str) -> str:
        """Wait until a worker has taken a run; return its name."""

        def found() -> str | None:
            task = self.live.runs(runIds=[run_id])[0]["tags"].get(TASK_TAG, "not yet a task")
            return next((name for name in self.workers if task in self.log(name)), None)

        return wait_for(found, 60, "a worker")

    def log(self, name: str) -> str:
        return (self.world.folder / f"{name}.log").read_text(errors="replace")


def worker_command(name: str) -> list[str]:
    """Return the command of the unit, with a name and room for one run."""
    command = unit()["Service"]["ExecStart"].split()
    command[0] = Path(command[0]).name
    command[command.index("--hostname") + 1] = f"{name}@localhost"
    command[command.index("--concurrency") + 1] = "1"
    return command


def unit() -> configparser.ConfigParser:
    parsed = configparser.ConfigParser(strict=False, interpolation=None)
    parsed.optionxform = str  # type: ignore[assignment,method-assign]
    parsed.read(WORKERS / "quant-assets-worker.service")
    return parsed


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, database_server: str) -> Iterator[Cluster]:
    with ExitStack() as stack:
        records, data = new_database(database_server), new_database(database_server)
        broker = stack.enter_context(redis_server(BROKER_PASSWORD))
        objects = stack.enter_context(s3_server())
        world = stack.enter_context(small_world(tmp_path_factory.mktemp("workers"), markets=8))
        world.emulator.key = KEY
        shared = {
            "DAGSTER_POSTGRES_URL": records.replace("://", "+psycopg2://"),
            "CELERY_BROKER_URL": broker.url,
            "CELERY_RESULT_BACKEND": f"db+{records.replace('://', '+psycopg2://')}",
            "QUANT_DATABASE_URL": data,
            "QUANT_LAKE_URL": LAKE,
            "QUANT_FEED_URL": FEED,
            **objects.environment,
        }
        stack.enter_context(environment(**objects.environment))  # to read the lake here
        control = _machine(world, "control", shared)
        home, port = Path(control["DAGSTER_HOME"]), free_port()
        workspace_file = home / "workspace.yaml"
        workspace_file.write_text((SYSTEMD / "workspace.yaml").read_text().replace("4266", str(port)))

        def start(machine: Mapping[str, str], *command: str, log: str) -> subprocess.Popen[bytes]:
            return stack.enter_context(process(command, machine, world.folder / f"{log}.log"))

        code = ("dagster", "api", "grpc", "--module-name", "quant_assets.definitions", "--host", "127.0.0.1")
        start(control, *code, "--port", str(port), log="code")
        workers = {
            name: start(_machine(world, name, shared), *worker_command(name), log=name)
            for name in ("worker-1", "worker-2")
        }
        web_port = free_port()
        webserver = ("dagster-webserver", "--workspace", str(workspace_file), "--host", "127.0.0.1")
        start(control, *webserver, "--port", str(web_port), log="web")
        live = ready(f"http://127.0.0.1:{web_port}", world.folder / "web.log")
        start(control, "dagster-daemon", "run", "--workspace", str(workspace_file), log="daemon")
        yield Cluster(world, live, broker, (records, data), workers)


def _machine(world: World, name: str, shared: Mapping[str, str]) -> dict[str, str]:
    """Give a machine folders and candle files of its own; return the environment of its processes."""
    folder = world.folder / name
    shutil.copytree(world.candles, folder / "candles")
    prepare_home(folder / "dagster_home", SYSTEMD / "dagster-postgresql.yaml", WORKERS / "dagster-workers.yaml")
    own = {"DAGSTER_HOME": str(folder / "dagster_home"), "QUANT_CANDLES_DIR": str(folder / "candles")}
    return {**world.environment(f"{name}/data", key=KEY), **shared, **own}


def test_scan_on_a_worker_gives_the_tables_of_a_single_machine(cluster: Cluster) -> None:
    world, live = cluster.world, cluster.live
    assert live.finished_run(live.launch("market_list"), 120)["status"] == "SUCCESS"
    run = live.launch("scan", world.window.key)
    assert live.finished_run(run, 120)["status"] == "SUCCESS"
    assert cluster.worker_of(run) in cluster.workers
    with kept_in_memory(world) as alone:
        alone.scan("alone", key=KEY)
    expected, found = Lake(world.settings("alone").lake_dir), Lake(LAKE)
    for key in (["features"], *(["signals", strategy.key] for strategy in discover_strategies().strategies)):
        table, same = expected.read(key, world.window.key), found.read(key, world.window.key)
        assert table is not None
        assert same is not None
        assert table.equals(same), key
    published = Document.at(FEED).read()
    assert published is not None
    assert published == found.read_document(["master_feed"], world.window.key)
    feed = orjson.loads(published)
    assert feed["stats"]["freshness"]["open_interest"]["fresh"] > 0


def test_restarted_broker_loses_no_run(cluster: Cluster) -> None:
    """A run in progress ends once, and the next one starts."""
    live, window = cluster.live, cluster.world.window
    running = live.launch("scan", window.key)
    wait_for(lambda: live.runs(runIds=[running], statuses=["STARTED"]), 60, "the run")
    cluster.broker.stop()
    cluster.broker.start()
    assert live.finished_run(running, 120)["status"] == "SUCCESS"
    assert live.finished_run(live.launch("scan", window.key), 120)["status"] == "SUCCESS"
    assert live.runs(statuses=["FAILURE"]) == []


def test_run_of_a_killed_worker_goes_on_at_the_other_one(cluster: Cluster) -> None:
    live, world = cluster.live, cluster.world
    world.emulator.faults = Faults(slow=1.0, delay_seconds=5)
    before = len(world.emulator.accounting.accepted)
    lost = live.launch("refresh", _old_window(world), max_runtime="60")
    wait_for(lambda: len(world.emulator.accounting.accepted) > before, 60, "the first request")
    killed = cluster.worker_of(lost)
    stop_process_group(cluster.workers.pop(killed), signal.SIGKILL)
    world.emulator.faults = Faults()
    assert live.finished_run(lost, 90)["status"] == "FAILURE"
    retried = wait_for(
        lambda: [run for run in live.runs() if run["tags"].get("dagster/parent_run_id") == lost], 60, "a retry"
    )[0]["runId"]
    assert live.finished_run(retried, 120)["status"] == "SUCCESS"
    assert cluster.worker_of(retried) != killed
    requested = Counter(
        (request.endpoint, symbol)
        for request in world.emulator.accounting.accepted[before:]
        for symbol in request.symbols
    )
    assert sum(times - 1 for times in requested.values()) <= 20  # the symbols of the request in flight


def test_credentials_are_in_no_record_log_or_command_line(cluster: Cluster) -> None:
    dump = postgresql_programs() / "pg_dump"
    places = {
        f"database {number}": subprocess.run([dump, url], capture_output=True, check=True, timeout=60).stdout
        for number, url in enumerate(cluster.databases)
    }
    assert len(places["database 0"]) > 100_000
    places |= {path.name: path.read_bytes() for path in cluster.world.folder.glob("*.log")}
    places |= {f"process {path.parent.name}": _command_line(path) for path in Path("/proc").glob("[0-9]*/cmdline")}
    for secret in (KEY, BROKER_PASSWORD, DATABASE_PASSWORD, SECRET):
        found = {name for name, content in places.items() if secret.encode() in content}
        assert {name for name in found if b"redis-server" not in places[name]} == set(), secret


def test_unit_waits_for_runs_in_progress_when_it_stops() -> None:
    service = unit()["Service"]
    assert service["KillMode"] == "mixed"  # systemd's default would kill the processes of the runs at once
    assert service["Restart"] == "always"


def _old_window(world: World) -> str:
    """Return the key of a window for which nothing has been fetched, since a scan fetches 24 hours."""
    return Window(world.window.end - timedelta(hours=40)).key


def _command_line(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""
