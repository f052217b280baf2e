"""Servers listen on loopback only, unless the user asks for more and gets a warning."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import requests

from quant_assets.cli.serve import exposure_warning
from quant_assets_tests.world import World

ROOT = Path(__file__).parents[2]
#: Reaches servers that listen on every address, and not those that listen on 127.0.0.1 only.
OTHER_LOOPBACK = "127.0.0.2"


def own_addresses() -> list[str]:
    """Return OTHER_LOOPBACK, and this machine's network address if it has one."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # selects a route and sends nothing
            outside = str(probe.getsockname()[0])
        except OSError:
            return [OTHER_LOOPBACK]
    return [OTHER_LOOPBACK] if outside.startswith("127.") else [OTHER_LOOPBACK, outside]


def answers(host: str, port: int) -> bool:
    """Return whether a server accepts connections at an address."""
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError:
        return False
    return True


@contextmanager
def started(world: World, cwd: Path, *arguments: str) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """Start a server command, and yield its port and process."""
    program = subprocess.Popen(
        [sys.executable, "-m", "quant_assets", *arguments, "--port", "0"],
        env=world.environment("ports", key=None),
        cwd=cwd,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert program.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:(\d+)", program.stdout.readline())
        assert found is not None
        yield int(found[1]), program
    finally:
        program.send_signal(signal.SIGTERM)
        program.communicate(timeout=60)


@pytest.mark.parametrize("command", ["serve", "emulator"])
def test_server_answers_on_loopback_only(world: World, tmp_path: Path, command: str) -> None:
    with started(world, tmp_path, command) as (port, _):
        assert answers("127.0.0.1", port)
        if command == "serve":  # DNS rebinding: a foreign host name gets nothing
            address, named = f"http://127.0.0.1:{port}/api/windows", {}
            for host in (f"127.0.0.1:{port}", "evil.example"):
                named[host] = requests.get(address, headers={"Host": host}, timeout=30).status_code
            assert named == {f"127.0.0.1:{port}": 200, "evil.example": 400}
        assert [address for address in own_addresses() if answers(address, port)] == []


def test_dashboard_on_all_addresses_warns_and_answers_on_all(world: World, tmp_path: Path) -> None:
    """This shows that the test above can detect a server which listens on all addresses."""
    with started(world, tmp_path, "serve", "--host", "0.0.0.0") as (port, program):
        assert program.stderr is not None
        assert "anyone who reaches 0.0.0.0" in program.stderr.readline()
        assert [address for address in own_addresses() if not answers(address, port)] == []


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "2001:db8::1", "trader.example"])
def test_every_host_other_than_loopback_gets_a_warning(host: str) -> None:
    assert f"anyone who reaches {host}:3000" in exposure_warning(host, 3000)
    assert [exposure_warning(loopback, 3000) for loopback in ("127.0.0.1", "localhost", "::1", "127.0.0.2")] == [""] * 4


def test_make_ui_and_systemd_units_listen_on_loopback() -> None:
    told = subprocess.run(
        ["make", "--dry-run", "ui"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    assert re.search(r"dagster dev --host 127\.0\.0\.1 ", told)
    units = {path.name: path.read_text() for path in (ROOT / "deploy" / "systemd").glob("*.service")}
    listening = {name: text for name, text in units.items() if "--port" in text}
    assert len(listening) >= 2
    assert [name for name, text in listening.items() if "--host 127.0.0.1" not in text] == []
