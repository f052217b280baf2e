"""The commands `resolve`, `plan` and `serve` only read: they create and change no file."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest
import requests

from quant_assets_tests.faults.disks import disk
from quant_assets_tests.forking import run
from quant_assets_tests.servers import running
from quant_assets_tests.world import World

FileStates = dict[str, tuple[int, int, int]]
TIMEOUT_SECONDS = 20.0
RESOLVE = ("resolve", "BTCUSDT", "BINANCE", "--json")
#: A provider whose data the folder does not have.
OTHER_PROVIDER = "https://elsewhere.invalid/v1"


def file_states(folder: Path) -> FileStates:
    """Return mode, size and modification time of a folder and all files below it."""
    found = [folder, *folder.rglob("*")] if folder.exists() else []
    states = {str(path): path.lstat() for path in found}
    return {name: (state.st_mode, state.st_size, state.st_mtime_ns) for name, state in states.items()}


@pytest.fixture(scope="module")
def scanned(world: World) -> Path:
    """A data folder as a scan left it."""
    return world.scanned("reading").parent


@contextmanager
def serving(environment: dict[str, str], cwd: Path) -> Iterator[str]:
    """Serve the dashboard, yield its address, and stop it with SIGINT."""
    with running("serve", environment, cwd) as (process, line):
        yield line.strip().removeprefix("dashboard: ")
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT_SECONDS) == 130


@pytest.mark.parametrize("command", ["resolve", "plan"])
def test_reading_commands_without_a_key_create_no_data_folder(world: World, tmp_path: Path, command: str) -> None:
    arguments = RESOLVE if command == "resolve" else ("plan", str(world.candles), "--json")
    environment = {**world.environment(key=None), "QUANT_DATA_DIR": str(tmp_path / "data")}
    before = file_states(tmp_path)
    done = run(*arguments, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert file_states(tmp_path) == before


def test_serve_creates_no_data_folder(world: World, tmp_path: Path) -> None:
    environment = {**world.environment(key=None), "QUANT_DATA_DIR": str(tmp_path / "data")}
    before = file_states(tmp_path)
    with serving(environment, tmp_path) as url:
        assert requests.get(f"{url}/", timeout=TIMEOUT_SECONDS).status_code == 503
    assert file_states(tmp_path) == before


@pytest.mark.parametrize(
    ("command", "case"),
    [("resolve", "no key"), ("resolve", "another provider"), ("plan", "no key"), ("plan", "a list that is not due")],
)
def test_reading_commands_leave_data_folder_unchanged(
    world: World, scanned: Path, tmp_path: Path, command: str, case: str
) -> None:
    arguments = RESOLVE if command == "resolve" else ("plan", str(world.candles), "--json")
    environment = world.environment("reading")
    if case != "a list that is not due":
        environment.pop("COINALYZE_API_KEY")
    if case == "another provider":
        environment["COINALYZE_BASE_URL"] = OTHER_PROVIDER
    before, calls = file_states(scanned), world.emulator.accounting.calls
    done = run(*arguments, env=environment, cwd=tmp_path)
    assert done.returncode == (2 if case == "another provider" else 0), done.stderr
    assert file_states(scanned) == before
    assert world.emulator.accounting.calls == calls


def test_serve_leaves_data_folder_unchanged(world: World, scanned: Path, tmp_path: Path) -> None:
    before = file_states(scanned)
    with serving(world.environment("reading", key=None), tmp_path) as url:
        chart = requests.get(f"{url}/api/signals/BINANCE/BTCUSDT", timeout=TIMEOUT_SECONDS)
        assert chart.status_code == 200
        assert requests.get(f"{url}/", timeout=TIMEOUT_SECONDS).status_code == 200
    assert file_states(scanned) == before


def test_resolve_with_a_key_fetches_due_market_list(world: World, tmp_path: Path) -> None:
    environment = {**world.environment(), "QUANT_DATA_DIR": str(tmp_path / "data")}
    done = run(*RESOLVE, env=environment, cwd=tmp_path)
    assert orjson.loads(done.stdout)["status"] == "resolved"
    assert (tmp_path / "data" / "lake" / "coinalyze_markets.parquet").is_file()


def test_reading_commands_work_on_a_read_only_disk(world: World, tmp_path: Path) -> None:
    with disk(world.folder / "reading_only", 24_000) as made:
        world.scanned("reading_only")
        environment = world.environment("reading_only")
        made.read_only()
        resolved = run(*RESOLVE, env=environment, cwd=tmp_path)
        assert resolved.returncode == 0, resolved.stderr
        assert orjson.loads(resolved.stdout)["status"] == "resolved"
        planned = run("plan", str(world.candles), "--json", env=environment, cwd=tmp_path)
        assert planned.returncode == 0, planned.stderr
        assert all(dataset["known"] for dataset in orjson.loads(planned.stdout)["datasets"].values())
        with serving(environment, tmp_path) as url:
            chart = requests.get(f"{url}/api/signals/BINANCE/BTCUSDT", timeout=TIMEOUT_SECONDS).json()
        assert chart["open_interest"]["time"]
        made.read_only(on=False)


@pytest.mark.parametrize("command", ["resolve", "plan", "serve"])
def test_file_as_data_folder_exits_2_and_is_named(world: World, tmp_path: Path, command: str) -> None:
    (tmp_path / "file").write_text("no folder")
    arguments = {"resolve": RESOLVE, "plan": ("plan", str(world.candles)), "serve": ("serve", "--port", "0")}[command]
    environment = {**world.environment(key=None), "QUANT_DATA_DIR": str(tmp_path / "file")}
    done = run(*arguments, env=environment, cwd=tmp_path)
    assert done.returncode == 2
    assert f"QUANT_DATA_DIR: {tmp_path / 'file'}" in done.stderr
