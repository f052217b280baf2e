"""A data folder has data of one origin: another one is rejected, and reading commands use the recorded one."""

from __future__ import annotations

import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier

import dagster as dg
import orjson
import pytest

from quant_assets.common.settings import Settings
from quant_assets.definitions import build_definitions
from quant_assets.derivatives.store import DerivativesStore
from quant_assets.storage.origins import (
    OriginError,
    environment_settings,
    record_origin,
    recorded_origin,
    recorded_origins,
    settings_for_data_folder,
)
from quant_assets_tests.cli.test_cli import as_of, run
from quant_assets_tests.servers import running
from quant_assets_tests.world import World, environment

pytestmark = pytest.mark.slow

REAL = "https://api.coinalyze.net/v1"


@pytest.fixture(scope="module")
def scanned(world: World) -> World:
    world.scanned("origin")
    return world


def feed_of(folder: Path) -> dict[str, object]:
    feed: dict[str, object] = orjson.loads((folder / "master_feed.json").read_bytes())
    return feed


def test_first_market_list_records_the_origin(scanned: World) -> None:
    assert orjson.loads((scanned.folder / "origin" / "origins.json").read_bytes()) == {"coinalyze": "loopback"}


def test_scan_without_variables_uses_origin_of_data_folder(scanned: World, tmp_path: Path) -> None:
    before = feed_of(scanned.folder / "origin")
    variables = scanned.environment("origin", key=None)
    variables.pop("COINALYZE_BASE_URL")
    done = run("scan", str(scanned.candles), "--as-of", as_of(scanned), env=variables, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    after = feed_of(scanned.folder / "origin")
    assert after["stats"]["resolution"] == before["stats"]["resolution"]  # type: ignore[index]
    assert after["signals"] == before["signals"]


@pytest.mark.parametrize("command", ["scan", "plan", "resolve", "serve"])
def test_address_of_another_origin_exits_2_with_advice(scanned: World, tmp_path: Path, command: str) -> None:
    arguments = {
        "scan": [str(scanned.candles)],
        "plan": [str(scanned.candles)],
        "resolve": ["BTCUSDT", "BINANCE"],
        "serve": ["--port", "0"],
    }
    before = feed_of(scanned.folder / "origin")
    variables = {**scanned.environment("origin"), "COINALYZE_BASE_URL": REAL}
    done = run(command, *arguments[command], env=variables, cwd=tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    for told in ("holds data of a local Coinalyze", "COINALYZE_BASE_URL", "api.coinalyze.net", "QUANT_DATA_DIR"):
        assert told in line
    assert feed_of(scanned.folder / "origin") == before


@pytest.mark.parametrize("command", ["scan", "plan", "resolve"])
def test_key_of_another_origin_exits_2_and_is_not_sent(scanned: World, tmp_path: Path, command: str) -> None:
    variables = scanned.environment("origin", key="a-real-key")
    variables.pop("COINALYZE_BASE_URL")
    arguments = ["BTCUSDT", "BINANCE"] if command == "resolve" else [str(scanned.candles)]
    done = run(command, *arguments, env=variables, cwd=tmp_path)
    assert done.returncode == 2
    assert "COINALYZE_API_KEY is a key for api.coinalyze.net" in done.stderr
    assert "a-real-key" not in done.stderr


def test_serve_needs_only_the_data_folder(scanned: World, tmp_path: Path) -> None:
    variables = scanned.environment("origin", key="a-real-key")
    variables.pop("COINALYZE_BASE_URL")
    with running("serve", variables, tmp_path) as (_, line):
        assert line.startswith("dashboard: http://127.0.0.1:")


@pytest.mark.parametrize("job", ["scan", "analyse", "refresh", "market_list"])
def test_dagster_run_with_another_origin_fails_with_advice(scanned: World, job: str) -> None:
    variables = {"QUANT_DATA_DIR": str(scanned.folder / "origin"), "COINALYZE_BASE_URL": REAL}
    with environment(**variables, QUANT_CANDLES_DIR=str(scanned.candles)):
        settings, problem = environment_settings(fetches=True)
    assert "unset COINALYZE_BASE_URL" in problem
    definition = build_definitions(settings, origin_problem=problem).resolve_job_def(job)
    with dg.DagsterInstance.ephemeral() as instance:
        result = definition.execute_in_process(
            instance=instance,
            partition_key=None if job == "market_list" else scanned.window.key,
            raise_on_error=False,
        )
    assert not result.success
    failures = [event.step_failure_data.user_failure_data for event in result.all_events if event.is_step_failure]
    assert problem in [failure.description for failure in failures if failure is not None]


def test_version_0_1_folder_gets_origin_of_market_list_or_store(scanned: World, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    shutil.copytree(scanned.folder / "origin", folder, ignore=shutil.ignore_patterns("dagster"))
    (folder / "origins.json").unlink()
    (folder / "store" / "api.coinalyze.net").mkdir()
    shutil.copy(folder / "store" / "loopback" / "derivatives.sqlite", folder / "store" / "api.coinalyze.net")
    assert recorded_origin(Settings(data_dir=folder)) == "loopback"
    shutil.rmtree(folder / "store" / "api.coinalyze.net")
    (folder / "lake" / "coinalyze_markets.parquet").unlink()
    assert recorded_origin(Settings(data_dir=folder)) == "loopback"
    assert settings_for_data_folder(Settings(data_dir=folder), {}, fetches=True).provider == "loopback"


def test_store_that_nothing_was_fetched_into_has_no_origin(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    with closing(DerivativesStore(settings.store_place)):
        pass
    assert list(tmp_path.glob("store/*/derivatives.sqlite"))
    assert recorded_origin(settings) is None


@pytest.mark.parametrize(
    ("statement", "origin"),
    [("CREATE TABLE asked (x); INSERT INTO asked VALUES (1)", "a.example"), ("CREATE TABLE asked (x)", None)],
)
def test_store_of_version_0_1_has_an_origin_if_something_was_fetched(
    tmp_path: Path, statement: str, origin: str | None
) -> None:
    (folder := tmp_path / "store" / "a.example").mkdir(parents=True)
    with closing(sqlite3.connect(folder / "derivatives.sqlite")) as connection:
        connection.executescript(statement)
    assert recorded_origin(Settings(data_dir=tmp_path)) == origin


def test_damaged_store_keeps_its_origin(tmp_path: Path) -> None:
    (folder := tmp_path / "store" / "a.example").mkdir(parents=True)
    (folder / "derivatives.sqlite").write_bytes(b"no database" * 100)
    assert recorded_origin(Settings(data_dir=tmp_path)) == "a.example"


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"coinalyze": 7}', b"\xff"])
def test_unreadable_origin_record_is_rejected(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "origins.json").write_bytes(content)
    with pytest.raises(OriginError, match=r"origins\.json"):
        recorded_origin(Settings(data_dir=tmp_path))


def test_origins_that_threads_record_at_once_are_all_kept(tmp_path: Path) -> None:
    sources = [f"SOURCE{number}" for number in range(8)]
    start = Barrier(len(sources))

    def record(settings: Settings, source: str) -> None:
        start.wait()
        record_origin(settings, source, "loopback")

    with ThreadPoolExecutor(len(sources)) as pool:
        for number in range(20):
            settings = Settings(data_dir=tmp_path / str(number))
            list(pool.map(lambda source, settings=settings: record(settings, source), sources))
            assert recorded_origins(settings) == dict.fromkeys(sources, "loopback")


def test_new_folder_has_no_origin(tmp_path: Path) -> None:
    assert recorded_origin(Settings(data_dir=tmp_path / "new")) is None
    assert not (tmp_path / "new").exists()
