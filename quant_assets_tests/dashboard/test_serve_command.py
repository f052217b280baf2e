"""`quant-assets serve` as a person runs it: a real process, its address, its exit codes, its end."""

from __future__ import annotations

import configparser
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from quant_assets.common.settings import Settings
from quant_assets_tests.dashboard.serving import PATIENCE
from quant_assets_tests.servers import running
from quant_assets_tests.world import World


@contextmanager
def started(world: World, cwd: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start the command and give its process and the address that it prints."""
    with running("serve", world.environment("dashboard"), cwd, *arguments) as (process, line):
        yield process, line.strip().removeprefix("dashboard: ")


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_on_loopback_until_it_is_told_to_stop(
    world: World, scanned: Settings, tmp_path: Path, ending: signal.Signals
) -> None:
    with started(world, tmp_path) as (process, url):
        assert url.startswith("http://127.0.0.1:")
        assert requests.get(f"{url}/api/results", timeout=PATIENCE).content == scanned.feed_path.read_bytes()
        with requests.get(f"{url}/api/events", stream=True, timeout=PATIENCE) as stream:
            assert next(stream.iter_lines())
            process.send_signal(ending)
            began = time.monotonic()
            assert process.wait(PATIENCE) == (130 if ending == signal.SIGINT else 0)
            assert time.monotonic() - began < 5
        assert process.stderr is not None
        assert process.stderr.read().strip() == "stopped"


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("after_seconds", [0.0, 0.01, 0.05])
def test_it_stops_cleanly_also_while_it_starts(
    world: World, tmp_path: Path, ending: signal.Signals, after_seconds: float
) -> None:
    with started(world, tmp_path) as (process, _):
        time.sleep(after_seconds)
        process.send_signal(ending)
        _, said = process.communicate(timeout=PATIENCE)
        assert (process.returncode, said.strip()) == (130 if ending == signal.SIGINT else 0, "stopped")


def test_another_host_than_loopback_is_warned_of(world: World, scanned: Settings, tmp_path: Path) -> None:
    with started(world, tmp_path, "--host", "0.0.0.0") as (process, url):
        assert process.stderr is not None
        assert "there is no password" in process.stderr.readline()
        assert requests.get(f"{url}/api/windows", headers={"Host": "desk"}, timeout=PATIENCE).status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "no.such.host.invalid"])
def test_an_address_that_cannot_be_used_is_exit_2_and_says_so(world: World, tmp_path: Path, host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "quant_assets", "serve", "--port", port, "--host", host],
            env=world.environment("dashboard"),
            cwd=tmp_path,
            text=True,
            timeout=60,
            capture_output=True,
            check=False,
        )
    assert done.returncode == 2
    assert f"port {port} on {host} cannot be used" in done.stderr
    assert "--port" in done.stderr
    assert done.stdout == ""


def test_help_does_not_load_the_server() -> None:
    program = (
        "import sys; from typer.testing import CliRunner; from quant_assets.cli import app\n"
        "assert '--port' in CliRunner().invoke(app, ['serve', '--help'], env={'COLUMNS': '120'}).output\n"
        "assert not {'uvicorn', 'starlette', 'pandas', 'dagster'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_the_unit_of_systemd_starts_what_is_tested_here(world: World, scanned: Settings, tmp_path: Path) -> None:
    unit = configparser.ConfigParser(interpolation=None)
    unit.read(Path(__file__).parents[2] / "docs" / "deploy" / "quant-assets-dashboard.service")
    program, command, *arguments = unit["Service"]["ExecStart"].split()
    assert (Path(program).name, command) == ("quant-assets", "serve")
    assert arguments[-2:] == ["--port", "3000"]
    with started(world, tmp_path, *arguments[:-2]) as (_, url):
        assert url.startswith("http://127.0.0.1:")
        assert requests.get(f"{url}/api/results", timeout=PATIENCE).content == scanned.feed_path.read_bytes()
