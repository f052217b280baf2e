"""Ctrl-C and SIGTERM stop any command at once, with one line and no further request."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from quant_assets.common.windows import WINDOW_LENGTH
from quant_assets_tests.defs.live import BIN, ROOT, free_port
from quant_assets_tests.faults.proxy import FaultyProxy, ProxiedRequest
from quant_assets_tests.faults.seeding import LONG
from quant_assets_tests.faults.terminals import on_terminal
from quant_assets_tests.forking import CONTEXT, become_command
from quant_assets_tests.providers.coinalyze.scripted import Canned
from quant_assets_tests.servers import running
from quant_assets_tests.world import World

#: Generous for a busy machine; without the interrupt it takes many times as long.
AT_ONCE_SECONDS = 20
INTERRUPTED = "interrupted; what was fetched is kept"
PROGRAM = [sys.executable, "-m", "quant_assets"]


@pytest.mark.parametrize(
    ("told", "endpoint"),
    [
        (signal.SIGINT, "exchanges"),
        (signal.SIGTERM, "exchanges"),
        (signal.SIGTERM, "open-interest-history"),
    ],
    ids=["Ctrl-C", "SIGTERM in the list", "SIGTERM in the data"],
)
def test_interrupted_scan_stops_at_once_and_sends_nothing_more(
    world: World, tmp_path: Path, told: signal.Signals, endpoint: str
) -> None:
    def drip(request: ProxiedRequest, answer: Canned) -> Canned:
        return Canned(length=10**9, ending="drip") if request.endpoint == endpoint else answer

    with FaultyProxy(world.emulator, drip) as proxy:
        env = {**world.environment(f"told_{told.name}_{endpoint}"), "COINALYZE_BASE_URL": proxy.url}
        streams = [tmp_path / name for name in ("stdout", "stderr")]
        command = (["scan", str(world.candles), "--json"], env, tmp_path, *streams)
        scan = CONTEXT.Process(target=become_command, args=command)
        scan.start()
        latest = time.monotonic() + 60
        while not any(request.endpoint == endpoint for request in proxy.requests):
            assert time.monotonic() < latest
            time.sleep(0.02)
        asked = len(proxy.requests)
        assert scan.pid is not None
        os.kill(scan.pid, told)
        scan.join(AT_ONCE_SECONDS)
        assert len(proxy.requests) == asked
    assert scan.exitcode == 130
    assert [path.read_text() for path in streams] == ["", f"{INTERRUPTED}\n"]


@pytest.mark.parametrize(
    ("command", "endpoint"), [("scan", "exchanges"), ("scan", "open-interest-history"), ("plan", "exchanges")]
)
def test_ctrl_c_on_a_terminal_leaves_one_line(world: World, tmp_path: Path, command: str, endpoint: str) -> None:
    def drip(request: ProxiedRequest, answer: Canned) -> Canned:
        return Canned(length=10**9, ending="drip") if request.endpoint == endpoint else answer

    with FaultyProxy(world.emulator, drip) as proxy:
        env = {**world.environment(f"pressed_{command}_{endpoint}"), "COINALYZE_BASE_URL": proxy.url}
        arguments = [*PROGRAM, command, str(world.candles)]
        with on_terminal(arguments, env, tmp_path) as terminal:
            terminal.wait_until(lambda: any(request.endpoint == endpoint for request in proxy.requests))
            terminal.press_ctrl_c()
            assert terminal.end() == ([INTERRUPTED], 130)


def test_ctrl_c_while_modules_are_imported_leaves_one_line(world: World, tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(60)\n")
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    with on_terminal(
        [*PROGRAM, "--version"], {**world.environment("pressed_early"), "PYTHONPATH": path}, ROOT
    ) as terminal:
        terminal.wait_for("importing")
        terminal.press_ctrl_c()
        assert terminal.end() == (["interrupted"], 130)


@pytest.mark.skipif(not LONG, reason="only in the long form; above, a scan is interrupted at the same stage")
def test_ctrl_c_in_the_scan_of_the_demo_leaves_one_line(world: World, tmp_path: Path) -> None:
    with on_terminal([*PROGRAM, "demo"], world.environment("pressed_demo"), tmp_path) as terminal:
        terminal.wait_for("calls spent")
        terminal.press_ctrl_c()
        assert terminal.end() == ([INTERRUPTED], 130)


@pytest.mark.parametrize("started", ["by a shell", "where SIGINT is ignored"])
def test_ctrl_c_in_a_replay_leaves_one_line(world: World, tmp_path: Path, started: str) -> None:
    world.scanned("pressed_replay")
    begin, end = (world.window.end - WINDOW_LENGTH * 80).isoformat(), world.window.end.isoformat()
    command = [*PROGRAM, "replay", "--from", begin, "--to", end, str(world.candles)]
    if started != "by a shell":
        command = ["sh", "-c", 'trap "" INT; exec "$0" "$@"', *command]
    with on_terminal(command, world.environment("pressed_replay"), tmp_path) as terminal:
        terminal.wait_for("windows replayed")
        terminal.press_ctrl_c()
        assert terminal.end() == ([INTERRUPTED], 130)


@pytest.mark.parametrize(("command", "ready"), [("serve", "dashboard: "), ("emulator", "CALLS_PER_MINUTE=40")])
def test_ctrl_c_ends_a_server_with_one_line(world: World, tmp_path: Path, command: str, ready: str) -> None:
    arguments = [*PROGRAM, command, "--port", "0"]
    with on_terminal(arguments, world.environment("pressed_server"), tmp_path) as terminal:
        terminal.wait_for(ready)
        terminal.press_ctrl_c()
        assert terminal.end() == (["stopped"], 130)


@pytest.mark.parametrize("command", ["serve", "emulator"])
def test_sigterm_ends_a_server_with_exit_code_0(world: World, tmp_path: Path, command: str) -> None:
    with running(command, world.environment("told_server"), tmp_path) as (program, line):
        assert "http://127.0.0.1:" in line
        program.send_signal(signal.SIGTERM)
        _, said = program.communicate(timeout=AT_ONCE_SECONDS)
    assert (said.splitlines()[-1], program.returncode) == ("stopped", 0)


@pytest.mark.parametrize(
    ("target", "ready", "line"),
    [
        ("serve", "dashboard: ", "stopped"),
        ("demo", "GATE", INTERRUPTED),
        ("ui", "Dagster's UI: ", "stopping Dagster, which takes some seconds"),
    ],
)
def test_ctrl_c_in_make_leaves_one_line_besides_those_of_make(world: World, target: str, ready: str, line: str) -> None:
    # `make` must not set up the environment that this test runs in.
    command = ["make", "--old-file=setup", target, f"BIN={BIN}", *([] if target == "demo" else [f"PORT={free_port()}"])]
    with on_terminal(command, world.environment(f"pressed_make_{target}"), ROOT) as terminal:
        terminal.wait_for(ready)
        terminal.press_ctrl_c()
        lines, _ = terminal.end()
    assert [shown for shown in lines if not shown.startswith("make: ")] == [line]
