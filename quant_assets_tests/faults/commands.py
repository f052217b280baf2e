"""Run the command line in processes of its own: started from a shell, or forked where many are needed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path

from quant_assets.cli import main
from quant_assets.common.settings import Settings
from quant_assets.definitions import build_definitions
from quant_assets.orchestration.instance import open_instance
from quant_assets_tests.faults.killing import CONTEXT
from quant_assets_tests.world import World


def scan_arguments(world: World) -> list[str]:
    """Return the arguments of a scan of the world's window."""
    moment = world.window.end.isoformat().replace("+00:00", "Z")
    return ["scan", str(world.candles), "--as-of", moment, "--json"]


def scan_command(
    world: World, name: str, cwd: Path, *options: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a scan into the data folder of this name."""
    return subprocess.run(
        [sys.executable, "-m", "quant_assets", *scan_arguments(world), *options],
        env={**world.environment(name), **variables},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def forked_scan(world: World, name: str = "data") -> BaseProcess:
    """Return a process that scans, forked to save imports; it writes to `output` beside its data folder."""
    arguments = (world.environment(name), world.folder / "output", scan_arguments(world))
    return CONTEXT.Process(target=_command, args=arguments)


def forked_job(world: World, job: str, window: str | None = None, name: str = "data") -> BaseProcess:
    """Return a process that runs a job which no command starts."""
    return CONTEXT.Process(target=_job, args=(world.environment(name), world.folder / "output", job, window))


def _command(environment: Mapping[str, str], output: Path, arguments: list[str]) -> None:
    _redirect(environment, output)
    sys.argv = ["quant-assets", *arguments]
    main()


def _job(environment: Mapping[str, str], output: Path, name: str, window: str | None) -> None:
    _redirect(environment, output)
    settings = Settings.from_environment(os.environ)
    with open_instance(settings) as instance:
        job = build_definitions(settings).resolve_job_def(name)
        result = job.execute_in_process(instance=instance, partition_key=window, raise_on_error=False)
    sys.exit(0 if result.success else 1)


def _redirect(environment: Mapping[str, str], output: Path) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(output.parent)
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
