"""`quant-assets serve` as a process: its address, exit codes and shutdown."""

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
from quant_assets_tests.dashboard.serving import TIMEOUT_SECONDS
from quant_assets_tests.servers import running
from quant_assets_tests.world import World


@contextmanager
def started(market: World, cwd: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start the command and yield its process and the printed address."""
    with running("serve", market.environment("dashboard"), cwd, *arguments) as (process, line):
        yield process, line.strip().removeprefix("dashboard: ")


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_serves_on_loopback_until_a_signal(
    market: World, scanned: Settings, tmp_path: Path, ending: signal.Signals
) -> None:
    with started(market, tmp_path) as (process, url):
        assert url.startswith("http://127.0.0.1:")
        assert requests.get(f"{url}/api/results", timeout=TIMEOUT_SECONDS).content == scanned.feed_path.read_bytes()
        with requests.get(f"{url}/api/events", stream=True, timeout=TIMEOUT_SECONDS) as stream:
            assert next(stream.iter_lines())
            process.send_signal(ending)
            assert process.wait(20) == (130 if ending == signal.SIGINT else 0)
        assert process.stderr is not None
        assert process.stderr.read().strip() == "stopped"


@pytest.mark.parametrize(
    ("ending", "after_seconds"),
    [(signal.SIGINT, 0.0), (signal.SIGTERM, 0.0), (signal.SIGTERM, 0.01), (signal.SIGINT, 0.05)],
)
def test_signal_during_startup_stops_cleanly(
    market: World, tmp_path: Path, ending: signal.Signals, after_seconds: float
) -> None:
    with started(market, tmp_path) as (process, _):
        time.sleep(after_seconds)
        process.send_signal(ending)
        _, stderr = process.communicate(timeout=TIMEOUT_SECONDS)
        assert (process.returncode, stderr.strip()) == (130 if ending == signal.SIGINT else 0, "stopped")


def test_host_other_than_loopback_prints_a_warning(market: World, scanned: Settings, tmp_path: Path) -> None:
    with started(market, tmp_path, "--host", "0.0.0.0") as (process, url):
        assert process.stderr is not None
        assert "there is no password" in process.stderr.readline()
        assert requests.get(f"{url}/api/windows", headers={"Host": "desk"}, timeout=TIMEOUT_SECONDS).status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "no.such.host.invalid"])
def test_unusable_address_is_exit_2(market: World, tmp_path: Path, host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "quant_assets", "serve", "--port", port, "--host", host],
            env=market.environment("dashboard"),
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


def test_systemd_unit_starts_the_tested_command(market: World, scanned: Settings, tmp_path: Path) -> None:
    unit = configparser.ConfigParser(interpolation=None)
    unit.read(Path(__file__).parents[2] / "deploy" / "systemd" / "quant-assets-dashboard.service")
    program, command, *arguments = unit["Service"]["ExecStart"].split()
    assert (Path(program).name, command) == ("quant-assets", "serve")
    assert arguments[-2:] == ["--port", "3000"]
    with started(market, tmp_path, *arguments[:-2]) as (_, url):
        assert url.startswith("http://127.0.0.1:")
        assert requests.get(f"{url}/api/results", timeout=TIMEOUT_SECONDS).content == scanned.feed_path.read_bytes()
