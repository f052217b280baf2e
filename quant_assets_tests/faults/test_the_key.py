"""The API key is in the environment and in request headers, and nowhere else, whatever goes wrong."""

from __future__ import annotations

import base64
import gzip
import json
import logging
import os
import pickle
import sqlite3
import subprocess
import sys
import time
import traceback
import zlib
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import dagster as dg
import pyarrow.parquet as pq
import pytest
import requests
from pydantic import SecretStr

from quant_assets.common.clock import SYSTEM, Clock
from quant_assets.common.settings import Settings
from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.definitions import build_definitions
from quant_assets.defs.alerts import run_failure_alert
from quant_assets.emulator import Faults
from quant_assets.orchestration.instance import open_instance
from quant_assets.orchestration.resources import Notifier
from quant_assets.providers.coinalyze import CallBudget, CoinalyzeClient
from quant_assets.providers.errors import ProviderError
from quant_assets.providers.registry import DEFAULT
from quant_assets_tests.dashboard.serving import serving
from quant_assets_tests.faults.seeding import rounds, seeded_random
from quant_assets_tests.forking import run
from quant_assets_tests.providers.coinalyze.scripted import Canned, ScriptedServer
from quant_assets_tests.providers.conftest import VirtualClock
from quant_assets_tests.world import CALLS_PER_MINUTE, World, environment, small_world

#: Has characters that a shell, a URL, JSON and SQL escape.
KEY = "s3cr3t-k%41y'w\"ith\\odd&ones"
HOOK = "/s3cr3t-hook-of-the-webhook"
ASK = {"interval": "15min", "start": 0, "end": 900}


def encodings(secret: str) -> set[bytes]:
    """Return the encodings in which a secret could appear, and its first eight characters."""
    written = {secret, quote(secret), quote(secret, safe=""), json.dumps(secret)[1:-1], repr(secret)[1:-1]}
    encoded = {base64.b64encode(secret.encode()).rstrip(b"=")}
    return {text.encode() for text in written} | encoded | {secret[:8].encode()}


def unpacked(content: bytes) -> Iterator[bytes]:
    """Yield the bytes, and their decompressed content where they are compressed."""
    yield content
    for unpack in (zlib.decompress, gzip.decompress):
        try:
            yield unpack(content)
        except (zlib.error, OSError, EOFError):
            continue


def file_contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of every file below a folder; tables, archives and databases also decoded."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        for content in unpacked(path.read_bytes()):
            yield str(path), content
        if path.suffix == ".parquet":
            yield str(path), repr(pq.read_table(path).to_pylist()).encode()
        if path.suffix in {".db", ".sqlite"}:
            with closing(sqlite3.connect(path)) as database:
                tables = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
                for table in tables:
                    for row in database.execute(f'SELECT * FROM "{table}"'):
                        for value in row:
                            raw = value if isinstance(value, bytes) else str(value).encode()
                            yield from ((f"{path} {table}", content) for content in unpacked(raw))


def leaks(secret: str, found: Iterator[tuple[str, bytes]]) -> list[str]:
    """Return the names of the contents that have a secret."""
    forms = encodings(secret)
    return [name for name, content in found if any(form in content for form in forms)]


@dataclass
class FaultyScans:
    """The remains of scans with every kind of fault: folder, output, problems."""

    world: World
    folder: Path
    shown: str
    problems: str
    failed: int


def run_windows(world: World, settings: Settings, instance: dg.DagsterInstance) -> Iterator[dg.ExecuteInProcessResult]:
    """Run jobs with one fault after another, each in a window of its own; the last one fails."""
    began = -6 * 3600.0
    late = [began]  # windows follow each other, and none is in the future
    clock = Clock(
        seconds=lambda: time.time() + late[0],
        sleep=lambda seconds: late.append(late.pop() + seconds),
        monotonic=lambda: (
            time.monotonic() + late[0] - began
        ),  # counts from the machine's start, so it is never negative
    )
    world.emulator.clock = clock.now  # no real waiting
    definitions = build_definitions(settings, clock=clock)
    emulator, rng = world.emulator, seeded_random("the key")

    def scan(*, spent_by_others: int = 0, **faults: float) -> dg.ExecuteInProcessResult:
        clock.sleep(WINDOW_LENGTH.total_seconds())
        emulator.spend(spent_by_others)
        emulator.faults = Faults(seed=rng.randrange(1000), **faults)  # type: ignore[arg-type]
        return definitions.resolve_job_def("scan").execute_in_process(
            instance=instance,
            partition_key=Window.last_complete(clock.now()).key,
            run_config={"ops": {"derivatives": {"config": {"max_wait_seconds": 100.0}}}},
            raise_on_error=False,
        )

    emulator.faults = Faults()
    yield definitions.resolve_job_def("market_list").execute_in_process(instance=instance)
    for _ in range(rounds(1, 8)):
        yield scan(server_error=0.3, cut=0.3, closed=0.2)
    yield scan(spent_by_others=CALLS_PER_MINUTE)
    emulator.key = "another"
    yield scan()
    emulator.key = KEY
    yield scan(server_error=1.0)
    echo = json.dumps({"message": f"bad key {KEY}"}).encode()
    with ScriptedServer(
        Canned(200, echo), Canned(500, echo), Canned(429, echo, {"Retry-After": "0.1"}), Canned(200, echo, length=900)
    ) as server:
        settings = settings.model_copy(update={"base_url": server.url})
        definitions = build_definitions(settings, clock=clock)
        yield scan()
        yield definitions.resolve_job_def("market_list").execute_in_process(
            instance=instance,
            raise_on_error=False,
            run_config={"ops": {"coinalyze_markets": {"config": {"max_wait_seconds": 100, "retry": False}}}},
        )
    definitions = build_definitions(settings.model_copy(update={"candles_dir": world.folder}), clock=clock)
    yield scan()


def notify_failing_webhook(instance: dg.DagsterInstance, failed: dg.ExecuteInProcessResult) -> None:
    """Notify a webhook of a failed run twice, without success."""
    with ScriptedServer(Canned(500, b"no")) as server:
        answering = server.url
    with ScriptedServer(Canned(500, b"no")) as server:
        for address in (server.url, answering):  # one answers with 500, the other is closed
            os.environ["TEST_WEBHOOK"] = address + HOOK
            context = dg.build_run_status_sensor_context(
                sensor_name="tell_of_failed_runs",
                dagster_event=failed.get_run_failure_event(),
                dagster_instance=instance,
                dagster_run=failed.dagster_run,
                resources={"notifier": Notifier(address_variable="TEST_WEBHOOK")},
            ).for_run_failure()
            run_failure_alert(context)
        assert server.paths


class LogRecorder(logging.Handler):
    """Record every log message with traceback and attributes."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        # urllib3 logs the path of every request, so the webhook's path is ignored there.
        if not record.name.startswith("urllib3") or HOOK not in record.getMessage():
            self.lines.append(self.format(record) + repr(record.__dict__))


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyScans]:
    recorder, root = LogRecorder(), logging.getLogger()
    level = root.level
    root.addHandler(recorder)
    root.setLevel(logging.DEBUG)
    told = tmp_path_factory.mktemp("told") / "output"
    try:
        with small_world(tmp_path_factory.mktemp("faulty"), markets=8) as world, told.open("wb") as output:
            world.emulator.key = KEY
            settings = world.settings()
            # All output of this process goes to the file.
            kept = [os.dup(number) for number in (1, 2)]
            for number in (1, 2):
                os.dup2(output.fileno(), number)
            try:
                with (
                    environment(
                        COINALYZE_API_KEY=KEY,
                        TEST_WEBHOOK=None,
                        DAGSTER_HOME=str(world.folder / "data" / "dagster"),
                    ),
                    open_instance(settings) as instance,
                ):
                    results = list(run_windows(world, settings, instance))
                    notify_failing_webhook(instance, results[-1])
            finally:
                for number, copy in zip((1, 2), kept, strict=True):
                    os.dup2(copy, number)
                    os.close(copy)
            problems = {
                str(problem)
                for result in results
                for event in result.get_asset_materialization_events()
                if event.asset_key == dg.AssetKey("open_interest")
                for problem in event.step_materialization_data.materialization.metadata["problems"].value  # type: ignore[union-attr]
            }
            failed = sum(not result.success for result in results)
            shown = told.read_text(errors="replace") + "\n".join(recorder.lines)
            yield FaultyScans(world, world.folder / "data", shown, "\n".join(problems), failed)
    finally:
        root.removeHandler(recorder)
        root.setLevel(level)


def test_every_fault_of_the_fixture_happened(faulty: FaultyScans) -> None:
    """Otherwise the tests below would prove nothing."""
    for problem in ("the key was refused (401)", "failed with status", "cut off"):
        assert problem in faulty.problems
    assert faulty.failed >= 2
    assert faulty.world.emulator.accounting.rate_limited > 0
    assert "DEBUG" in faulty.shown
    assert "could not be sent" in faulty.shown


def test_key_is_in_no_file_of_the_data_folder_after_faulty_scans(faulty: FaultyScans) -> None:
    names = {name.split(" ")[0] for name, _ in file_contents(faulty.folder)}
    assert {Path(name).suffix for name in names} >= {".db", ".sqlite", ".parquet", ".gz", ".json", ".err", ".out"}
    assert leaks(KEY, file_contents(faulty.folder)) == []


def test_key_is_in_no_log_or_output_after_faulty_scans(faulty: FaultyScans) -> None:
    assert leaks(KEY, iter([("shown", faulty.shown.encode())])) == []


def test_url_of_a_failed_webhook_is_in_no_log_or_file(faulty: FaultyScans) -> None:
    assert HOOK not in faulty.shown
    assert leaks(HOOK, file_contents(faulty.folder)) == []


def test_search_finds_a_key_in_every_kind_of_file(tmp_path: Path) -> None:
    (tmp_path / "plain.log").write_text(f"GET ?api_key={quote(KEY)}")
    (tmp_path / "feed.json.gz").write_bytes(gzip.compress(json.dumps({"key": KEY}).encode()))
    with closing(sqlite3.connect(tmp_path / "snapshots.db")) as database:
        database.execute("CREATE TABLE snapshots (body BLOB)")
        database.execute("INSERT INTO snapshots VALUES (?)", (zlib.compress(KEY.encode()),))
        database.commit()
    assert len({place.split(" ")[0] for place in leaks(KEY, file_contents(tmp_path))}) == 3


def test_scan_leaves_no_pickle(faulty: FaultyScans) -> None:
    starts = {path: path.read_bytes()[:2] for path in faulty.folder.rglob("*") if path.is_file()}
    assert [path for path, start in starts.items() if start in {b"\x80\x04", b"\x80\x05"}] == []


def test_key_is_in_nothing_that_dagster_shows_of_the_definitions(faulty: FaultyScans) -> None:
    with environment(COINALYZE_API_KEY=KEY, DAGSTER_HOME=str(faulty.folder / "dagster")):
        settings = faulty.world.settings()
        definitions = build_definitions(settings)
        shown = [repr(settings), str(settings), settings.model_dump_json()]
        shown += [repr(resource) + str(resource) for resource in (definitions.resources or {}).values()]
        repository = definitions.get_repository_def()
        shown += [repr(job.get_job_snapshot()) for job in repository.get_all_jobs()]
        with dg.DagsterInstance.get() as instance:
            shown += [repr((run.tags, run.run_config)) for run in instance.get_runs()]
            assert len(instance.get_runs()) >= 7
    assert leaks(KEY, iter([("dagster", "".join(shown).encode())])) == []


def test_key_is_in_no_response_of_the_dashboard(faulty: FaultyScans) -> None:
    with environment(COINALYZE_API_KEY=KEY), serving(faulty.world.settings()) as site:
        signal = site.feed["signals"][0]
        market = f"{quote(signal['exchange'])}/{quote(signal['symbol'], safe='')}"
        addresses = ["/", "/api/results", "/api/windows", "/api/openapi.json", f"/api/signals/{market}", "/nothing"]
        answers = [site.get(address) for address in addresses]
    assert answers[0].ok
    shown = "".join(repr(answer.headers) + answer.text for answer in answers)
    assert leaks(KEY, iter([("dashboard", shown.encode())])) == []


@pytest.mark.parametrize(
    "answer",
    [
        *(Canned(status, KEY.encode()) for status in (400, 401, 403, 404, 422, 429, 500, 503)),
        *(Canned(302, KEY.encode()), Canned(body=KEY.encode()), Canned(body=KEY.encode(), length=999)),
        *(Canned(401), Canned(403), Canned(429), Canned(500), Canned(length=99)),
    ],
    ids=lambda answer: f"{answer.status}{', cut' * bool(answer.length)}{', repeated' * (KEY.encode() == answer.body)}",
)
def test_key_is_in_no_exception_or_its_chain(tmp_path: Path, answer: Canned) -> None:
    clock = VirtualClock()
    with ScriptedServer(answer) as server:
        budget = CallBudget(tmp_path / "budget.sqlite", 1000, clock=clock, sleep=clock.sleep)
        secret = SecretStr(KEY)
        client = CoinalyzeClient(secret, server.url, budget, sleep=lambda _: None, max_attempts=2)
        with closing(budget), closing(client):
            with pytest.raises(ProviderError) as caught:
                client.history("open-interest-history", ["S"], **ASK)  # type: ignore[arg-type]
            shown = repr(client) + str(client) + repr(vars(client)) + repr(vars(client._session))
    assert KEY in server.keys
    frames = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    chain: list[BaseException] = [caught.value]
    while (further := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(further)
    for error in chain:
        assert not isinstance(error, requests.RequestException)
        assert not any(isinstance(value, requests.PreparedRequest) for value in vars(error).values())
        shown += str(error) + repr(error) + repr(pickle.dumps(error.args)) + repr(vars(error))
    # Frames hold the server's response, so they are checked only where it does not repeat the key.
    shown += "" if answer.body == KEY.encode() else frames.replace(f"KEY = {KEY!r}", "")
    assert leaks(KEY, iter([("exception", shown.encode())])) == []


def test_key_does_not_follow_a_redirect(tmp_path: Path) -> None:
    with ScriptedServer(Canned()) as other, ScriptedServer(Canned(302, b"", {"Location": other.url})) as server:
        budget = CallBudget(tmp_path / "budget.sqlite", 1000)
        client = CoinalyzeClient(SecretStr(KEY), server.url, budget)
        with closing(budget), closing(client), pytest.raises(ProviderError):
            client.market_list()
    assert server.keys == [KEY]
    assert other.paths == []


def test_key_is_in_no_process_argument_or_title(world: World, tmp_path: Path) -> None:
    world.emulator.key = KEY
    try:
        program = subprocess.Popen(
            [sys.executable, "-m", "quant_assets", "scan", str(world.candles), "--json"],
            env=world.environment("arguments", key=KEY),
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        seen: set[bytes] = set()
        while program.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                program.wait(0.1)
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    status = (process / "status").read_text()
                    if f"\nPPid:\t{program.pid}\n" in status or process.name == str(program.pid):
                        seen.add((process / "cmdline").read_bytes() + (process / "comm").read_bytes())
                except OSError:  # the process has ended
                    continue
        output, errors = program.communicate()
    finally:
        world.emulator.key = "emulator"
    assert program.returncode == 0, errors
    assert seen
    assert leaks(KEY, iter([(repr(line), line) for line in [*seen, output, errors]])) == []


@pytest.mark.parametrize("given", [KEY, f"{KEY}\n", f" {KEY}\t\r\n"], ids=["as it is", "line break", "white space"])
def test_key_with_odd_characters_is_sent_unchanged(world: World, given: str) -> None:
    with ScriptedServer(Canned(401)) as server, environment(COINALYZE_API_KEY=given):
        settings = world.settings("odd", base_url=server.url)
        resource = build_definitions(settings).resources["providers"]  # type: ignore[index]
        with resource.client(DEFAULT, SYSTEM) as client, pytest.raises(ProviderError):
            client.market_list()
    assert server.keys == [KEY]


@pytest.mark.parametrize(
    "given", ["s3cr3t-schlüssel", "s3cr3t-\u20ac", "s3cr3t-one\ns3cr3t-two", "s3cr3t- two"][: rounds(1, 4)]
)
def test_invalid_key_error_names_the_variable_and_not_the_value(world: World, tmp_path: Path, given: str) -> None:
    done = run("scan", str(world.candles), "--json", env=world.environment("impossible", key=given), cwd=tmp_path)
    assert done.returncode == 3
    assert "COINALYZE_API_KEY" in done.stderr
    assert "s3cr3t" not in done.stdout + done.stderr
    for part in given.splitlines():
        assert leaks(part, file_contents(world.folder / "impossible")) == []
