"""Version, completion, help, and the ports of the servers."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from quant_assets_tests.defs.live import BIN, ROOT
from quant_assets_tests.forking import run
from quant_assets_tests.servers import running
from quant_assets_tests.world import World

HEAVY = ("pandas", "numpy", "dagster", "starlette", "uvicorn", "plotly", "requests")
COMPLETION = {"_QUANT_ASSETS_COMPLETE": "complete_bash", "COMP_CWORD": "1"}


def run_installed(arguments: list[str], **variables: str) -> tuple[str, set[str]]:
    """Run the installed program; return its stdout and the packages that it imported."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", str(BIN / "quant-assets"), *arguments],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    modules = re.findall(r"^import time:.*\| +([\w.]+)$", done.stderr, re.MULTILINE)
    assert "quant_assets" in modules
    return done.stdout, {module.split(".")[0] for module in modules}


def test_version_is_printed_without_heavy_imports() -> None:
    stdout, imported = run_installed(["--version"])
    assert stdout == f"quant-assets {version('quant-assets')}\n"
    assert imported.isdisjoint(HEAVY)


def test_completion_lists_commands_without_heavy_imports() -> None:
    stdout, imported = run_installed([], **COMPLETION, COMP_WORDS="quant-assets s")
    assert stdout.split() == ["scan", "serve", "strategy"]
    assert imported.isdisjoint(HEAVY)


def test_completion_lists_options_of_a_command() -> None:
    stdout, _ = run_installed([], **{**COMPLETION, "COMP_CWORD": "2"}, COMP_WORDS="quant-assets scan --ma")
    assert stdout.split() == ["--max-wait"]


@pytest.mark.parametrize("width", ["60", "80", "120"])
def test_help_lists_all_commands_at_any_width(width: str) -> None:
    done = subprocess.run(
        [str(BIN / "quant-assets"), "--help"],
        env={**os.environ, "COLUMNS": width},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    commands = set(re.findall(r"^│ ([a-z]+) ", done.stdout, re.MULTILINE))
    data = {"fetch", "scan", "replay", "demo", "emulator"}
    assert commands == data | {"evaluate", "strategy", "plan", "resolve", "serve", "move"}
    assert max(map(len, done.stdout.splitlines())) <= int(width)
    assert len(done.stdout.splitlines()) <= 52


def run_make(target: str, port: int, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a target of the Makefile on a port, without setting up the environment."""
    return subprocess.run(
        ["make", "--old-file=setup", target, f"BIN={BIN}", f"PORT={port}"],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("target", ["serve", "ui"])
def test_make_target_on_a_used_port_suggests_another_make_call(world: World, target: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run_make(target, port, world.environment("cli_port"))
    lines = [line for line in done.stderr.splitlines() if not line.startswith("make: ")]
    advice = f"choose another: make {target} PORT={port + 1}"
    assert lines == [f"port {port} on 127.0.0.1 cannot be used: Address already in use; {advice}"]
    assert "Error 2" in done.stderr


def test_make_ui_names_the_folder_of_strategies_of_the_working_directory(tmp_path: Path) -> None:
    """Dagster starts in its home, where a relative folder would be another one."""
    program = tmp_path / "python"
    program.write_text('#!/bin/sh\necho "$QUANT_STRATEGIES_DIR"\n')
    program.chmod(0o755)
    env = {**os.environ, "DAGSTER_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        ["make", "--old-file=setup", "ui", f"BIN={tmp_path}"],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == f"{ROOT / 'strategies'}\n"


def test_serve_on_a_used_port_suggests_the_port_option(world: World, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run("serve", "--port", port, env=world.environment("cli_port"), cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.endswith("choose another with --port\n")


@pytest.mark.parametrize("port", ["70000", "abc", "0"])
def test_make_ui_refuses_an_invalid_port(world: World, port: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "quant_assets.cli.run_ui", port, "true"],
        env=world.environment("cli_port"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == "Invalid PORT: expected a number from 1 to 65535\n"


@pytest.mark.parametrize(("target", "port"), [("serve", "--port 3000"), ("ui", "--port 3001")])
def test_make_targets_use_different_ports(target: str, port: str) -> None:
    done = subprocess.run(
        ["make", "--dry-run", "--old-file=setup", target],
        cwd=ROOT,
        env={**os.environ, "PORT": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert port in done.stdout


def test_serve_without_a_feed_points_to_the_demo(world: World, tmp_path: Path) -> None:
    demo = world.folder / "cli_only_demo" / "demo"
    demo.mkdir(parents=True)
    (demo / "master_feed.json").write_bytes(world.scanned("cli_start").read_bytes())
    with running("serve", world.environment("cli_only_demo"), tmp_path) as (program, line):
        assert line.startswith("dashboard: ")
        program.terminate()
        assert f"to see the feed of the demo, set QUANT_DATA_DIR={demo}" in program.communicate(timeout=60)[1]
