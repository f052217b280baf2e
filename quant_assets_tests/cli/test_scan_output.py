"""`scan --output -` writes the feed to stdout, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from quant_assets.feed import feed_problems
from quant_assets_tests.cli.test_cli import as_of
from quant_assets_tests.forking import run
from quant_assets_tests.world import World


def test_output_to_stdout_prints_only_the_feed(world: World, tmp_path: Path) -> None:
    world.scanned("stdout")
    done = run(
        *("scan", str(world.candles), "--as-of", as_of(world), "--output", "-"),
        env=world.environment("stdout"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert feed_problems(done.stdout.encode()) == []
    assert orjson.loads(done.stdout) == orjson.loads((world.folder / "stdout" / "master_feed.json").read_bytes())
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_output_to_stdout_prints_the_selection(world: World, tmp_path: Path) -> None:
    done = run(
        *("scan", str(world.candles), "--as-of", as_of(world), "--exchange", "binance", "--output", "-"),
        env=world.environment("stdout"),
        cwd=tmp_path,
    )
    assert {signal["exchange"] for signal in orjson.loads(done.stdout)["signals"]} == {"BINANCE"}
    assert not (world.folder / "stdout" / "selection.json").exists()


def test_warnings_go_to_stderr_when_feed_goes_to_stdout(world: World, tmp_path: Path) -> None:
    done = run(
        *("scan", str(world.candles), "--as-of", as_of(world), "--output", "-"),
        env=world.environment("stdout_no_key", key=None),
        cwd=tmp_path,
    )
    assert "no API key" in done.stderr
    assert orjson.loads(done.stdout)["window"] == world.window.key


def test_json_and_output_to_stdout_exclude_each_other(world: World, tmp_path: Path) -> None:
    done = run(
        *("scan", str(world.candles), "--json", "--output", "-"), env=world.environment("stdout_both"), cwd=tmp_path
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "--output - and --json both write to stdout; choose one of them\n"
    assert not (world.folder / "stdout_both").exists()


@pytest.mark.parametrize(
    ("stdout", "code"), [(">&-", 0), (">/dev/full", 1), ("| true", 1)], ids=["closed", "full", "gone"]
)
def test_feed_is_written_when_stdout_fails(world: World, tmp_path: Path, stdout: str, code: int) -> None:
    name = f"stdout_{stdout.encode().hex()}"
    path = world.scanned(name)
    path.unlink()
    command = [sys.executable, "-m", "quant_assets", "scan", str(world.candles), "--as-of", as_of(world)]
    done = subprocess.run(
        ["sh", "-c", f'{{ "$@" --output -; echo $? >"$0"; }} {stdout}', str(tmp_path / "code"), *command],
        env=world.environment(name),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert feed_problems(path.read_bytes()) == []
    assert int((tmp_path / "code").read_text()) == code
    lines = done.stderr.splitlines()
    assert len(lines) == (1 if code else 0)
    assert not code or (lines[0].startswith("stdout cannot be written (") and lines[0].endswith(f"the feed is {path}"))
