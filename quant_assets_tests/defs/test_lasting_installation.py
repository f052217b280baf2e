"""The installation of docs/deploy.md: PostgreSQL, code server, daemon and webserver."""

from __future__ import annotations

import configparser
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import pytest

from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.derivatives.datasets import DATASETS
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
from quant_assets_tests.programs import postgresql_programs
from quant_assets_tests.world import World, kept_in_memory, small_world

KEY = "s3cret-k3y-of-a-lasting-installation"
DEPLOY = ROOT / "deploy" / "systemd"
pytestmark = pytest.mark.system


@dataclass
class Installation:
    """A running installation without its daemon."""

    world: World
    live: Live
    environment: Mapping[str, str]
    home: Path
    postgresql_url: str

    def daemon(self) -> tuple[str, ...]:
        return ("dagster-daemon", "run", "--workspace", str(self.home / "workspace.yaml"))

    def counted(self, sql: str) -> int:
        with psycopg2.connect(self.postgresql_url) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            found = cursor.fetchone()
            assert found is not None
            return int(found[0])


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with ExitStack() as stack:
        url = stack.enter_context(postgresql())
        world = stack.enter_context(small_world(tmp_path_factory.mktemp("lasting"), markets=8))
        home = world.folder / "dagster_home"
        prepare_home(home, DEPLOY / "dagster-postgresql.yaml")
        port = free_port()
        workspace = (DEPLOY / "workspace.yaml").read_text()
        assert "4266" in workspace
        (home / "workspace.yaml").write_text(workspace.replace("4266", str(port)))
        world.emulator.key = KEY
        with kept_in_memory(world) as kept:
            kept.scan(key=KEY)  # a backfill needs candles and a symbol map
        environment = {
            **world.environment(key=KEY),
            "DAGSTER_HOME": str(home),
            "DAGSTER_POSTGRES_URL": url.replace("://", "+psycopg2://"),
            "DAGSTER_EVENT_BATCH_SIZE": "100",
        }
        code = ("dagster", "api", "grpc", "--module-name", "quant_assets.definitions")
        stack.enter_context(
            process([*code, "--host", "127.0.0.1", "--port", str(port)], environment, home / "code.log")
        )
        web_port = free_port()
        webserver = ("dagster-webserver", "--workspace", str(home / "workspace.yaml"), "--host", "127.0.0.1")
        stack.enter_context(process([*webserver, "--port", str(web_port)], environment, home / "web.log"))
        live = ready(f"http://127.0.0.1:{web_port}", home / "web.log")
        yield Installation(world, live, environment, home, url)


def test_backfill_survives_a_killed_daemon(
    installation: Installation,
) -> None:
    live, world, home = installation.live, installation.world, installation.home
    windows = [Window(world.window.end - back * WINDOW_LENGTH) for back in range(150, 118, -1)]
    with process(installation.daemon(), installation.environment, home / "daemon.log") as first:
        before = len(world.emulator.accounting.accepted)
        backfill = live.backfill(DATASETS[:1], [window.key for window in windows])
        mine = [{"key": "dagster/backfill", "value": backfill}]
        wait_for(lambda: live.runs(tags=mine, statuses=["STARTED", "SUCCESS"]), 120, "the backfill's first run")
        stop_process_group(first, signal.SIGKILL)
    assert any(run["status"] != "SUCCESS" for run in live.runs(tags=mine)) or len(live.runs(tags=mine)) < 2
    with process(installation.daemon(), installation.environment, home / "daemon.log"):
        assert live.finished_backfill(backfill, 240) == "COMPLETED_SUCCESS"
    runs = live.runs(tags=mine)
    assert [run["status"] for run in runs] == ["SUCCESS", "SUCCESS"]
    done = {event["partition"] for event in live.materialized(DATASETS[0])}
    assert done >= {window.key for window in windows}
    requested = Counter(
        (request.endpoint, symbol)
        for request in world.emulator.accounting.accepted[before:]
        for symbol in request.symbols
    )
    assert max(requested.values()) == 1


def test_runs_and_events_are_only_in_postgresql(installation: Installation) -> None:
    assert installation.counted("SELECT COUNT(*) FROM runs") >= 2
    assert installation.counted("SELECT COUNT(*) FROM event_logs") > 100
    assert not list(installation.home.rglob("*.db"))


def test_materializations_of_a_step_are_written_in_one_transaction(installation: Installation) -> None:
    materialized = "FROM event_logs WHERE dagster_event_type = 'ASSET_MATERIALIZATION' AND partition IS NOT NULL"
    runs = installation.counted(f"SELECT COUNT(DISTINCT run_id) {materialized}")
    assert installation.counted(f"SELECT COUNT(*) {materialized}") >= 32
    assert installation.counted(f"SELECT COUNT(DISTINCT xmin::text) {materialized}") == runs


def test_api_key_is_in_no_file_and_not_in_postgresql(installation: Installation) -> None:
    dump = postgresql_programs() / "pg_dump"
    records = subprocess.run([dump, installation.postgresql_url], capture_output=True, check=True, timeout=60).stdout
    assert len(records) > 100_000
    assert KEY.encode() not in records
    files = [path for path in installation.world.folder.rglob("*") if path.is_file()]
    assert len(files) > 50
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []


@pytest.mark.parametrize("unit", ["code", "daemon", "webserver"])
def test_systemd_units_start_the_tested_programs(unit: str) -> None:
    parsed = configparser.ConfigParser(strict=False, interpolation=None)
    parsed.optionxform = str  # type: ignore[assignment,method-assign]
    parsed.read(DEPLOY / f"quant-assets-{unit}.service")
    command = parsed["Service"]["ExecStart"].split()
    program = Path(command[0]).name
    expected = {"code": "dagster", "daemon": "dagster-daemon", "webserver": "dagster-webserver"}[unit]
    assert program == expected
    assert parsed["Service"]["Restart"] == "always"
    if "--workspace" in command:
        assert (ROOT / command[command.index("--workspace") + 1]).is_file()
