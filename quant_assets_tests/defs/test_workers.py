"""Runs on workers, as deploy/workers/ says: Celery with Redis as broker and results in PostgreSQL."""

from __future__ import annotations

import configparser
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
from quant_assets_tests.defs.postgresql import postgresql
from quant_assets_tests.defs.redis import RedisServer, redis_server
from quant_assets_tests.programs import postgresql_programs
from quant_assets_tests.world import World, kept_in_memory, small_world

KEY = "s3cret-k3y-of-workers"
BROKER_PASSWORD = "br0ker-passw0rd"
#: The tag of a run with the id of its task in Celery.
TASK_TAG = "dagster-celery/task_id"
SYSTEMD, WORKERS = ROOT / "deploy" / "systemd", ROOT / "deploy" / "workers"


@dataclass
class Cluster:
    """A running installation with workers."""

    world: World
    live: Live
    broker: RedisServer
    environment: Mapping[str, str]
    home: Path
    postgresql_url: str
    workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def worker_of(self, run_id: str) -> str:
        """Wait until a worker has taken a run; return its name."""

        def found() -> str | None:
            task = self.live.runs(runIds=[run_id])[0]["tags"].get(TASK_TAG, "not yet a task")
            return next((name for name in self.workers if task in self.log(name)), None)

        return wait_for(found, 60, "a worker")

    def log(self, name: str) -> str:
        return (self.home / f"{name}.log").read_text(errors="replace")


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
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with ExitStack() as stack:
        url = stack.enter_context(postgresql())
        broker = stack.enter_context(redis_server(BROKER_PASSWORD))
        world = stack.enter_context(small_world(tmp_path_factory.mktemp("workers"), markets=8))
        home = world.folder / "dagster_home"
        prepare_home(home, SYSTEMD / "dagster-postgresql.yaml", WORKERS / "dagster-workers.yaml")
        port = free_port()
        workspace = (SYSTEMD / "workspace.yaml").read_text()
        (home / "workspace.yaml").write_text(workspace.replace("4266", str(port)))
        world.emulator.key = KEY
        with kept_in_memory(world) as kept:
            kept.scan(key=KEY)
        environment = {
            **world.environment(key=KEY),
            "DAGSTER_HOME": str(home),
            "DAGSTER_POSTGRES_URL": url.replace("://", "+psycopg2://"),
            "CELERY_BROKER_URL": broker.url,
            "CELERY_RESULT_BACKEND": f"db+{url.replace('://', '+psycopg2://')}",
        }

        def start(*command: str, log: str) -> subprocess.Popen[bytes]:
            return stack.enter_context(process(command, environment, home / f"{log}.log"))

        workspace_file = str(home / "workspace.yaml")
        code = ("dagster", "api", "grpc", "--module-name", "quant_assets.definitions", "--host", "127.0.0.1")
        start(*code, "--port", str(port), log="code")
        workers = {name: start(*worker_command(name), log=name) for name in ("worker-1", "worker-2")}
        web_port = free_port()
        webserver = ("dagster-webserver", "--workspace", workspace_file, "--host", "127.0.0.1")
        start(*webserver, "--port", str(web_port), log="web")
        live = ready(f"http://127.0.0.1:{web_port}", home / "web.log")
        start("dagster-daemon", "run", "--workspace", workspace_file, log="daemon")
        yield Cluster(world, live, broker, environment, home, url, workers)


def test_scan_on_a_worker_publishes_the_feed(cluster: Cluster) -> None:
    run = cluster.live.launch("scan", cluster.world.window.key)
    assert cluster.live.finished_run(run, 120)["status"] == "SUCCESS"
    assert cluster.worker_of(run) in cluster.workers
    feed = orjson.loads((cluster.world.folder / "data" / "master_feed.json").read_bytes())
    assert feed["window"] == cluster.world.window.key
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
    records = subprocess.run([dump, cluster.postgresql_url], capture_output=True, check=True, timeout=60).stdout
    assert len(records) > 100_000
    logs = {path.name: path.read_bytes() for path in cluster.home.glob("*.log")}
    commands = {path.parent.name: _command_line(path) for path in Path("/proc").glob("[0-9]*/cmdline")}
    for secret in (KEY.encode(), BROKER_PASSWORD.encode()):
        assert secret not in records
        assert [name for name, content in logs.items() if secret in content] == []
        assert [pid for pid, command in commands.items() if secret in command and b"redis-server" not in command] == []


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
