"""Dagster's command line `dg`, on a copy of a checkout."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import orjson
import pytest

from quant_assets.signals import discover_strategies
from quant_assets_tests.defs.live import BIN, ROOT, Live, free_port, prepare_home, process, ready

NEEDED = ("pyproject.toml", "workspace.yaml", "dagster.yaml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the project, and create a Dagster instance beside it."""
    folder = tmp_path_factory.mktemp("dg") / "project"
    sources = [*(ROOT / name for name in NEEDED), *(ROOT / "quant_assets").rglob("*")]
    for source in sources:
        if source.is_file() and "__pycache__" not in source.parts:
            target = folder / source.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    prepare_home(folder.parent / "dagster")
    return folder


@pytest.fixture(scope="module")
def environment(project: Path) -> dict[str, str]:
    return {
        **os.environ,
        "DAGSTER_HOME": str(project.parent / "dagster"),
        "HOME": str(project.parent),
        "PYTHONPATH": str(project),
        "QUANT_DATA_DIR": str(project.parent / "data"),
    }


def dg(*arguments: str, project: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        [BIN / "dg", *arguments], cwd=project, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_dg_check_defs_finds_nothing_wrong(project: Path, environment: dict[str, str]) -> None:
    assert "definitions loaded successfully" in dg("check", "defs", project=project, environment=environment)


def test_dg_list_defs_names_assets_jobs_schedules_and_sensors(project: Path, environment: dict[str, str]) -> None:
    listed = orjson.loads(dg("list", "defs", "--json", project=project, environment=environment))
    assets = {asset["asset_key"] for asset in listed["assets"]}
    assert assets >= {"candles", "symbol_map", "features", "master_feed"}
    assert assets >= {f"signals/{strategy.key}" for strategy in discover_strategies().strategies}
    names = {kind: {entry["name"] for entry in listed[kind]} for kind in ("jobs", "schedules", "sensors")}
    assert names["jobs"] >= {"scan", "refresh", "analyse", "market_list", "prune"}
    assert "scan_every_quarter_hour" in names["schedules"]
    assert "keep_up" in names["sensors"]


def test_dg_dev_serves_the_code_location(project: Path, environment: dict[str, str]) -> None:
    port, log = free_port(), project.parent / "dev.log"
    arguments = ["dg", "dev", "--host", "127.0.0.1", "--port", str(port)]
    with process(arguments, environment, log, cwd=project):
        live: Live = ready(f"http://127.0.0.1:{port}", log)
        query = "{ locationStatusesOrError { ... on WorkspaceLocationStatusEntries { entries { name loadStatus } } } }"
        entries = live.ask(query)["locationStatusesOrError"]["entries"]
    assert entries == [{"name": "quant_assets", "loadStatus": "LOADED"}]
