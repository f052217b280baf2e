"""The example of docs/strategies.md works as a built-in, as a package, and on one market."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson
import pytest

from quant_assets_tests.world import World

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = BLOCK.findall((ROOT / "docs" / "strategies.md").read_text(encoding="utf-8"))
TESTS = (
    *("test_run_strategy.py", "test_reads.py", "test_signal_properties.py", "test_point_in_time.py"),
    *("test_strategy_registry.py", "test_strategy_parameters.py", "test_scores_and_setups.py", "test_analyse.py"),
    "test_descriptions.py",
)


def block(language: str, holds: str) -> str:
    (found,) = [text for of, text in BLOCKS if of == language and holds in text]
    return str(found)


EXAMPLE = block("python", "class Strength")


def run(
    command: Sequence[str | Path], cwd: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command, cwd=cwd, env=environment or os.environ, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done


def one_market(world: World, folder: Path) -> None:
    """Copy the candles of the documented market into the folder `candles`."""
    (folder / "candles").mkdir()
    for timeframe in ("15m", "4h"):
        shutil.copy(world.candles / f"BINANCE_BTCUSDT_{timeframe}.json", folder / "candles")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the documented package with pip and return the target folder."""
    folder = tmp_path_factory.mktemp("package")
    package = folder / "source" / "my_strategies"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "strength.py").write_text(EXAMPLE)
    (package.parent / "pyproject.toml").write_text(block("toml", "entry-points"))
    documented = block("sh", "pip install").split()
    assert documented[1:4] == ["-m", "pip", "install"]
    target = folder / "installed"
    options = ["--disable-pip-version-check", "--quiet", "--target", str(target)]
    run([sys.executable, *documented[1:], *options], package.parent)
    return target


def test_documented_example_passes_the_strategy_tests_as_a_built_in(tmp_path: Path) -> None:
    being_written = shutil.ignore_patterns("*.pyc.*")
    for name in ("quant_assets", "quant_assets_tests"):
        # With the compiled files, which Python takes by the times of their sources.
        shutil.copytree(ROOT / name, tmp_path / name, ignore=being_written)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "quant_assets" / "signals" / "strategies" / "strength.py").write_text(EXAMPLE)
    tests = [f"quant_assets_tests/signals/{name}" for name in TESTS]
    done = run([sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", *tests], tmp_path)
    assert "test_strategy_reads_exactly_the_fields_it_declares[strength] PASSED" in done.stdout


def test_documented_example_passes_the_linter(tmp_path: Path) -> None:
    (tmp_path / "strength.py").write_text(EXAMPLE)
    config = ["--config", str(ROOT / "pyproject.toml")]
    ruff = Path(sys.executable).parent / "ruff"
    run([ruff, "check", *config, "strength.py"], tmp_path)
    run([ruff, "format", "--check", *config, "strength.py"], tmp_path)


def test_documented_package_is_discovered(installed: Path, tmp_path: Path) -> None:
    program = (
        "from quant_assets.signals import discover_strategies\n"
        "found = discover_strategies()\n"
        "print(found.problems, [strategy.key for strategy in found.strategies])"
    )
    done = run([sys.executable, "-c", program], tmp_path, {**os.environ, "PYTHONPATH": str(installed)})
    assert done.stdout.strip() == "() ['breakout', 'breakout_v2', 'legacy', 'strength']"


def test_documented_command_scans_one_market_with_the_strategy(installed: Path, world: World, tmp_path: Path) -> None:
    (line,) = block("sh", "--strategy Strength").splitlines()
    documented = line.split()
    one_market(world, tmp_path)
    environment = {**world.environment("documented", key=None), "PYTHONPATH": str(installed)}
    done = run([sys.executable, "-m", "quant_assets", *documented[1:], "--json"], tmp_path, environment)
    feed = orjson.loads(Path(orjson.loads(done.stdout)["feed"]).read_bytes())
    assert [(signal["strategy_name"], signal["symbol"]) for signal in feed["signals"]] == [("Strength", "BTCUSDT")]


def test_documented_script_prints_the_verdict_on_one_market(installed: Path, world: World, tmp_path: Path) -> None:
    one_market(world, tmp_path)
    program = block("python", "analyse(")
    done = run([sys.executable, "-c", program], tmp_path, {**os.environ, "PYTHONPATH": str(installed)})
    assert done.stdout.startswith("Verdict(bias=")
