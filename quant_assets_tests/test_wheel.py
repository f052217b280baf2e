"""A wheel of the project has every file that is needed, and its demo runs from an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from zipfile import ZipFile

import orjson
import pytest

from quant_assets_tests.defs.live import ROOT

pytestmark = pytest.mark.system


def run(*command: str | Path, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def package_files() -> set[str]:
    """Return the files of the package in the checkout, relative to it."""
    files = (file for file in (ROOT / "quant_assets").rglob("*") if file.is_file())
    return {file.relative_to(ROOT).as_posix() for file in files if "__pycache__" not in file.parts}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a wheel from a copy of the checkout, offline, as `make setup` builds."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in {"pyproject.toml", "README.md", "LICENSE"} | package_files():
        target = folder / "source" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    run(*pip, "wheel", "--no-index", "--no-deps", "--no-build-isolation", "-w", folder, "./source", cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


def test_wheel_has_every_file_of_the_package(wheel: Path) -> None:
    with ZipFile(wheel) as content:
        names = set(content.namelist())
    assert len(package_files()) > 150
    assert package_files() - names == set()


def test_demo_of_an_installed_wheel_writes_a_feed(wheel: Path, tmp_path: Path) -> None:
    environment, folder = tmp_path / "environment", tmp_path / "empty"
    folder.mkdir()
    run(sys.executable, "-m", "venv", "--without-pip", environment, cwd=tmp_path)
    python = environment / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python)
    run(*pip, "install", "--no-index", "--no-deps", wheel, cwd=tmp_path)
    # The locked packages, but not the checkout: Python reads no .pth file in a folder that a .pth file names.
    own = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip())
    (own / "locked.pth").write_text(f"{sysconfig.get_path('purelib')}\n{sysconfig.get_path('platlib')}\n")
    given = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("COINALYZE", "QUANT", "DAGSTER", "PYTHON"))
    }
    found = run(python, "-c", "import quant_assets; print(quant_assets.__file__)", cwd=folder, env=given)
    assert Path(found.strip()).is_relative_to(own)
    told = run(environment / "bin" / "quant-assets", "demo", cwd=folder, env=given)
    feed = orjson.loads((folder / "data" / "demo" / "master_feed.json").read_bytes())
    assert feed["stats"]["markets"] > 50
    assert "master_feed.json" in told
