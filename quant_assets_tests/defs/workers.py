"""An installation with workers, as docs/deploy.md and deploy/workers/ describe it."""

from __future__ import annotations

import configparser
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import psycopg2

from quant_assets.common.windows import Window
from quant_assets.derivatives.datasets import DATASETS
from quant_assets.emulator import Accepted
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
from quant_assets_tests.defs.postgresql import DATABASE_PASSWORD
from quant_assets_tests.defs.redis import RedisServer
from quant_assets_tests.programs import postgresql_programs
from quant_assets_tests.s3 import BUCKET, S3, SECRET
from quant_assets_tests.world import World

KEY = "s3cret-k3y-of-workers"
BROKER_PASSWORD = "br0ker-passw0rd"
LAKE, FEED = f"s3://{BUCKET}/lake", f"s3://{BUCKET}/master_feed.json"
WORKERS = ("worker-1", "worker-2")
#: The tag of a run with the id of its task in Celery.
TASK_TAG = "dagster-celery/task_id"
SYSTEMD, DEPLOY = ROOT / "deploy" / "systemd", ROOT / "deploy" / "workers"
#: The port of the code location in deploy/systemd/workspace.yaml.
CODE_PORT = 4266
#: A request of the provider has at most this many symbols.
SYMBOLS_PER_REQUEST = 20


@dataclass(frozen=True)
class Host:
    """A machine: `prefix` is the command through which its processes are started; `address` is where it is reached."""

    name: str
    address: str = "127.0.0.1"
    prefix: Sequence[str] = ()


@dataclass
class Cluster:
    """A running installation; its machines have no folder in common."""

    world: World
    live: Live
    broker: RedisServer
    objects: S3
    databases: tuple[str, str]
    """Of Dagster's records, and of the project's data."""
    start_worker: Callable[..., subprocess.Popen[bytes]]
    environments: Mapping[str, Mapping[str, str]]
    """The variables of each machine."""
    start_on: Callable[..., subprocess.Popen[bytes]]
    """Start a program on a machine: `start_on(name, *command, log=…, more=…)` with more variables."""
    workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def worker_of(self, run_id: str) -> str:
        """Wait until a worker has taken a run; return its name."""

        def found() -> str | None:
            task = self.live.runs(runIds=[run_id])[0]["tags"].get(TASK_TAG, "not yet a task")
            return next((name for name in WORKERS if task in self.log(name)), None)

        return wait_for(found, 60, "a worker")

    def execute(
        self, name: str, log: str, job: str, window: str, config: Mapping[str, Any] | None = None, **more: str
    ) -> subprocess.Popen[bytes]:
        """Start a run on a machine at once, past the queue, with more variables."""
        file = self.world.folder / name / f"{log}.json"
        file.write_bytes(orjson.dumps(config or {}))
        tags = orjson.dumps({"dagster/partition": window}).decode()
        command = ("dagster", "job", "execute", "--module-name", "quant_assets.definitions", "--job", job)
        return self.start_on(name, *command, "--tags", tags, "--config", str(file), log=log, more=more)

    def log(self, name: str) -> str:
        return (self.world.folder / f"{name}.log").read_text(errors="replace")

    def kill_worker(self, name: str) -> None:
        """Kill a worker and its runs, as a power failure does."""
        stop_process_group(self.workers.pop(name), signal.SIGKILL)

    def succeeded(self, job: str, window: str = "", **tags: str) -> str:
        """Run a job until it has succeeded; return the id of the run."""
        run = self.live.launch(job, window, None, **tags)
        assert self.live.finished_run(run, 180)["status"] == "SUCCESS", (job, run)
        return run

    def retry_of(self, run_id: str, seconds: float = 60) -> str:
        """Wait until a run that was lost is started again; return the new run's id."""
        found = wait_for(
            lambda: [run for run in self.live.runs() if run["tags"].get("dagster/parent_run_id") == run_id],
            seconds,
            "a retry",
        )
        return str(found[0]["runId"])


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
    parsed.read(DEPLOY / "quant-assets-worker.service")
    return parsed


def start_cluster(
    stack: ExitStack,
    world: World,
    hosts: Mapping[str, Host],
    broker: RedisServer,
    objects: S3,
    databases: tuple[str, str],
    settings: Mapping[str, str] | None = None,
    more: Mapping[str, str] | None = None,
) -> Cluster:
    """Start the services of control and of two workers; they are stopped when `stack` is closed.

    `settings` are texts of dagster.yaml and what takes their place, `more` are further variables of each machine.
    """
    world.emulator.key = KEY
    records = databases[0].replace("://", "+psycopg2://")
    shared = {
        "DAGSTER_POSTGRES_URL": records,
        "DAGSTER_EVENT_BATCH_SIZE": "100",
        "CELERY_BROKER_URL": broker.url,
        "CELERY_RESULT_BACKEND": f"db+{records}",
        "QUANT_DATABASE_URL": databases[1],
        "QUANT_LAKE_URL": LAKE,
        "QUANT_FEED_URL": FEED,
        **objects.environment,
        **(more or {}),
    }
    environments = {name: _prepare(world, name, shared, settings or {}) for name in ("control", *WORKERS)}
    control, variables = hosts["control"], environments["control"]
    home = Path(variables["DAGSTER_HOME"])
    port, web_port = (CODE_PORT, 3001) if control.prefix else (free_port(), free_port())
    workspace = home / "workspace.yaml"
    workspace.write_text((SYSTEMD / "workspace.yaml").read_text().replace(str(CODE_PORT), str(port)))

    def start(name: str, *command: str, log: str, more: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        machine = {**environments[name], **(more or {})}
        path = world.folder / f"{log}.log"
        return stack.enter_context(process(command, machine, path, prefix=hosts[name].prefix))

    def start_worker(name: str, **more: str) -> subprocess.Popen[bytes]:
        return start(name, *worker_command(name), log=name, more=more)

    code = ("dagster", "api", "grpc", "--module-name", "quant_assets.definitions", "--host", "127.0.0.1")
    start("control", *code, "--port", str(port), log="code")
    workers = {name: start_worker(name) for name in WORKERS}
    webserver = ("dagster-webserver", "--workspace", str(workspace), "--host", control.address)
    start("control", *webserver, "--port", str(web_port), log="web")
    live = ready(f"http://{control.address}:{web_port}", world.folder / "web.log")
    start("control", "dagster-daemon", "run", "--workspace", str(workspace), log="daemon")
    return Cluster(world, live, broker, objects, databases, start_worker, environments, start, workers)


def _prepare(world: World, name: str, shared: Mapping[str, str], settings: Mapping[str, str]) -> dict[str, str]:
    """Give a machine folders and candle files of its own; return the environment of its processes."""
    folder = world.folder / name
    shutil.copytree(world.candles, folder / "candles", dirs_exist_ok=True)
    home = folder / "dagster_home"
    prepare_home(home, SYSTEMD / "dagster-postgresql.yaml", DEPLOY / "dagster-workers.yaml")
    text = (home / "dagster.yaml").read_text()
    for old, new in settings.items():
        assert old in text, old
        text = text.replace(old, new)
    (home / "dagster.yaml").write_text(text)
    own = {"DAGSTER_HOME": str(home), "QUANT_CANDLES_DIR": str(folder / "candles")}
    return {**world.environment(f"{name}/data", key=KEY), **shared, **own}


def assert_equal_tables(expected: Lake, found: Lake, window: str) -> None:
    """Assert that two lakes have the same tables of a window, from candle features to signals."""
    signals = (["signals", strategy.key] for strategy in discover_strategies().strategies)
    for key in (["candle_features"], ["watchlist"], ["features"], *signals):
        table, same = expected.read(key, window), found.read(key, window)
        assert table is not None, key
        assert same is not None, key
        pd.testing.assert_frame_equal(table, same, check_exact=True, obj="/".join(key))


def published_feed() -> dict[str, Any]:
    """Return the newest feed, which must be the stored one of its window."""
    published = Document.at(FEED).read()
    assert published is not None
    feed: dict[str, Any] = orjson.loads(published)
    assert published == Lake(LAKE).read_document(["master_feed"], feed["window"])
    return feed


def repeated_symbols(requests: Iterable[Accepted]) -> int:
    """Return how many symbols of an endpoint were requested once more."""
    requested = Counter((request.endpoint, symbol) for request in requests for symbol in request.symbols)
    return sum(times - 1 for times in requested.values())


def old_window(world: World, hours: int = 40) -> str:
    """Return the key of a window for which nothing has been fetched, since a scan fetches 24 hours."""
    return Window(world.window.end - timedelta(hours=hours)).key


def forget_fetched(cluster: Cluster, *more: str) -> None:
    """Delete all fetched derivatives, and the rows of more tables, so that a test pays for them again."""
    with closing(psycopg2.connect(cluster.databases[1])) as connection, connection.cursor() as cursor:
        tables = ", ".join(f"quant_assets.{name}" for name in (*DATASETS, "fetched_ranges", *more))
        cursor.execute(f"TRUNCATE {tables}")
        connection.commit()


def places_with_credentials(cluster: Cluster) -> set[tuple[str, str]]:
    """Return which credential is in which log, record of a database or command line."""
    dump = postgresql_programs() / "pg_dump"
    places = {
        f"database {number}": subprocess.run([dump, url], capture_output=True, check=True, timeout=60).stdout
        for number, url in enumerate(cluster.databases)
    }
    assert len(places["database 0"]) > 100_000
    places |= {path.name: path.read_bytes() for path in cluster.world.folder.glob("*.log")}
    places |= {f"process {path.parent.name}": _command_line(path) for path in Path("/proc").glob("[0-9]*/cmdline")}
    return {
        (secret, name)
        for secret in (KEY, BROKER_PASSWORD, DATABASE_PASSWORD, SECRET)
        for name, content in places.items()
        if secret.encode() in content and not (name.startswith("process ") and b"redis-server" in content)
    }


def _command_line(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""
