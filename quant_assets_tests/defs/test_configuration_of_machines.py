"""Runs that another machine executes than the one that launched them: both must have the same configuration."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import dagster as dg
import pytest
import yaml

from quant_assets.definitions import build_definitions
from quant_assets.defs.alerts import run_failure_alert
from quant_assets.orchestration.configuration import CONFIGURATION_TAG, STRATEGIES, Configuration
from quant_assets.orchestration.job_names import MARKET_LIST
from quant_assets.orchestration.resources import Notifier
from quant_assets.orchestration.run_coordinator import TaggingRunCoordinator
from quant_assets.storage.lake import Lake
from quant_assets_tests.defs.live import ROOT, SELECTOR, Live, free_port, prepare_home, process, ready, wait_for
from quant_assets_tests.defs.records import runs_of
from quant_assets_tests.defs.running import START, STOP
from quant_assets_tests.world import World, environment, kept_in_memory, small_world

WORKERS = ROOT / "deploy" / "workers" / "dagster-workers.yaml"
RULES = "resolution.toml"


@dataclass
class Machines:
    """An installation whose runs are launched by one machine and executed by another, each with a data folder."""

    world: World
    live: Live
    home: Path

    @property
    def control(self) -> Path:
        return self.world.folder / "control"

    @property
    def worker(self) -> Path:
        return self.world.folder / "worker"

    def errors(self, run_id: str) -> str:
        """Return all errors that a run recorded."""
        with dg.DagsterInstance.from_config(str(self.home)) as instance:
            return "\n".join(str(entry) for entry in instance.all_logs(run_id))


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    with ExitStack() as stack:
        world = stack.enter_context(small_world(tmp_path_factory.mktemp("machines"), markets=8))
        home, port, web_port = world.folder / "home", free_port(), free_port()
        coordinator = world.folder / "coordinator.yaml"
        coordinator.write_text(yaml.safe_dump({"run_coordinator": settings_with_workers()["run_coordinator"]}))
        prepare_home(home, coordinator)
        dg.DagsterInstance.from_config(str(home)).dispose()  # two processes that create the tables disturb each other
        workspace = home / "workspace.yaml"
        workspace.write_text((ROOT / "deploy/systemd/workspace.yaml").read_text().replace("4266", str(port)))

        def start(machine: str, *command: str) -> None:
            (world.folder / machine).mkdir(exist_ok=True)
            shared = {"DAGSTER_HOME": str(home), "QUANT_LAKE_URL": (world.folder / "lake").as_uri()}
            given = {**world.environment(machine), **shared}
            stack.enter_context(process(command, given, world.folder / f"{command[0]}.log"))

        code = ("dagster", "api", "grpc", "--module-name", "quant_assets.definitions", "--host", "127.0.0.1")
        start("worker", *code, "--port", str(port))
        start("control", "dagster-daemon", "run", "--workspace", str(workspace))
        webserver = ("dagster-webserver", "--workspace", str(workspace), "--host", "127.0.0.1")
        start("control", *webserver, "--port", str(web_port))
        live = ready(f"http://127.0.0.1:{web_port}", world.folder / "dagster-webserver.log")
        yield Machines(world, live, home)


@pytest.fixture(autouse=True)
def _equal_files(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "machines" in request.fixturenames:
        found: Machines = request.getfixturevalue("machines")
        for folder in (found.control, found.worker):
            (folder / RULES).unlink(missing_ok=True)


def settings_with_workers() -> Mapping[str, Any]:
    """Return the settings of an instance with workers, as Dagster reads them."""
    texts = ((ROOT / "dagster.yaml").read_text(), WORKERS.read_text())
    return cast("Mapping[str, Any]", yaml.safe_load("".join(texts)))


def test_settings_of_workers_keep_the_queue_and_name_the_tagger() -> None:
    queue = settings_with_workers()["run_coordinator"]
    alone = yaml.safe_load((ROOT / "dagster.yaml").read_text())["run_coordinator"]
    assert queue["config"] == alone["config"]
    assert (queue["module"], queue["class"]) == (TaggingRunCoordinator.__module__, TaggingRunCoordinator.__name__)


@pytest.mark.system
def test_run_with_equal_files_succeeds_and_has_the_tag(machines: Machines) -> None:
    for folder in (machines.control, machines.worker):
        (folder / RULES).write_text("# the same\n")
    ended = machines.live.finished_run(machines.live.launch(MARKET_LIST))
    assert ended["status"] == "SUCCESS"
    assert RULES in ended["tags"][CONFIGURATION_TAG]


@pytest.mark.system
def test_run_with_other_files_fails_before_it_spends_a_call(machines: Machines) -> None:
    live, accounting = machines.live, machines.world.emulator.accounting
    (machines.worker / RULES).write_text("# only here\n")
    before, tables = len(accounting.accepted), len(live.materialized("coinalyze_markets"))
    ended = live.finished_run(live.launch(MARKET_LIST, max_retries="0"))
    assert ended["status"] == "FAILURE"
    errors = machines.errors(ended["runId"])
    assert f"than the machine that launched this run: {RULES} differs. Copy the TOML files" in errors
    assert "Then restart the workers" in errors
    assert (len(accounting.accepted), len(live.materialized("coinalyze_markets"))) == (before, tables)


@pytest.mark.system
def test_runs_of_a_backfill_and_retries_have_the_tag(machines: Machines) -> None:
    live = machines.live
    (machines.control / RULES).write_text("# only there\n")
    backfill = live.backfill(["candle_features"], [machines.world.window.key])
    assert live.finished_backfill(backfill) == "COMPLETED_FAILED"
    runs = live.runs(tags=[{"key": "dagster/backfill", "value": backfill}])
    assert len(runs) == 2  # the second is the retry
    assert all(RULES in run["tags"][CONFIGURATION_TAG] for run in runs)
    assert {run["tags"]["dagster/max_runtime"] for run in runs} == {"300"}
    assert all(f"{RULES} differs" in machines.errors(run["runId"]) for run in runs)


@pytest.mark.system
def test_copied_file_lets_the_next_run_succeed(machines: Machines) -> None:
    (machines.control / RULES).write_text("# new\n")
    shutil.copy(machines.control / RULES, machines.worker)
    assert machines.live.finished_run(machines.live.launch(MARKET_LIST))["status"] == "SUCCESS"


@pytest.mark.system
def test_run_of_a_sensor_has_the_tag(machines: Machines) -> None:
    """Schedules and sensors submit their runs in the same way."""
    live = machines.live
    sensor = live.ask(START, sensor={**SELECTOR, "sensorName": "new_candles"})["startSensor"]["id"]
    try:
        run = wait_for(lambda: runs_of(live, "new_candles"), 120, "a scan of the new candles")[0]
    finally:
        live.ask(STOP, id=sensor)
    assert "quant-assets=" in run["tags"][CONFIGURATION_TAG]


@pytest.fixture
def kept(world: World) -> Iterator[World]:
    with kept_in_memory(world) as made:
        yield made


def submitted(kept: World, **variables: str) -> dg.DagsterRun:
    """Submit a run on a machine with these variables; return it as recorded. It has ended, so that it is not queued."""
    tagger, job = TaggingRunCoordinator(), build_definitions(kept.settings()).resolve_job_def(MARKET_LIST)
    with kept.opened() as instance, environment(**{**kept.environment(), **variables}):
        tagger.register_instance(instance)
        run = instance.create_run_for_job(job)
        instance.report_run_failed(run)
        run = run.with_status(dg.DagsterRunStatus.FAILURE)
        return tagger.submit_run(dg.SubmitRunContext(run, cast("Any", None)))


def test_run_of_a_single_machine_has_no_tag(kept: World) -> None:
    assert CONFIGURATION_TAG not in submitted(kept).tags


def test_run_with_a_shared_database_has_the_tag_without_its_password(kept: World) -> None:
    run = submitted(kept, QUANT_DATABASE_URL="postgresql://quant:s3cret@127.0.0.1/quant")
    assert "quant-assets=" in run.tags[CONFIGURATION_TAG]
    assert "s3cret" not in str(run.tags)


def test_each_file_and_variable_that_differs_is_named(kept: World, tmp_path: Path) -> None:
    mine = kept.settings("mine", lake_url="s3://bucket/lake", strategies_dir=tmp_path / "mine")
    other = kept.settings("other", lake_url="s3://bucket/other", strategies_dir=tmp_path / "other")
    for settings in (mine, other):
        settings.data_dir.mkdir()
        settings.retention_path.write_text("windows_days = 30\n")
        assert settings.strategies_dir is not None
        settings.strategies_dir.mkdir()
        (settings.strategies_dir / "own.py").write_text(f"# of {settings.data_dir.name}\n")
    mine.policy_path.write_text("")
    found = Configuration.of(mine).differences(Configuration.of_tag(Configuration.of(other).tag))
    assert found == ["QUANT_LAKE_URL", "refresh.toml", STRATEGIES]


def test_notice_of_the_failed_run_names_the_file(kept: World, capsys: pytest.CaptureFixture[str]) -> None:
    settings = kept.settings("worker", lake_url=(kept.folder / "lake").as_uri())
    tag = f"{Configuration.of(settings).tag} {RULES}=123456789abc"
    with kept.opened("worker") as instance:
        job = build_definitions(settings).resolve_job_def(MARKET_LIST)
        result = job.execute_in_process(instance=instance, tags={CONFIGURATION_TAG: tag}, raise_on_error=False)
        context = dg.build_run_status_sensor_context(
            sensor_name="tell_of_failed_runs",
            dagster_event=result.get_run_failure_event(),
            dagster_instance=instance,
            dagster_run=result.dagster_run,
            resources={"notifier": Notifier(address_variable="QUANT_WEBHOOK_URL")},
        ).for_run_failure()
        run_failure_alert(context)
    assert not Lake(settings.lake_place).has(["coinalyze_markets"])
    assert f"{RULES} differs. Copy the TOML files of the data folder from there" in capsys.readouterr().err
