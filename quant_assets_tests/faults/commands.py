"""Run scans and jobs in forks: to the end, or at the same time as the test."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

from quant_assets.common.settings import Settings
from quant_assets.definitions import build_definitions
from quant_assets.orchestration.instance import open_instance
from quant_assets_tests.forking import CONTEXT, become_command, redirect, run
from quant_assets_tests.window_ends import wait_if_window_ends_soon
from quant_assets_tests.world import World


def scan_arguments(world: World) -> list[str]:
    """Return the arguments of a scan of the world's window."""
    moment = world.window.end.isoformat().replace("+00:00", "Z")
    return ["scan", str(world.candles), "--as-of", moment, "--json"]


def scan_command(
    world: World, name: str, cwd: Path, *options: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a scan into the data folder of this name."""
    return run(*scan_arguments(world), *options, env={**world.environment(name), **variables}, cwd=cwd)


def forked_scan(world: World, name: str = "data", arguments: Sequence[str] = ()) -> BaseProcess:
    """Return a process that scans the world's window, or by these arguments; it prints to `output` in its folder."""
    wait_if_window_ends_soon()
    output = world.folder / "output"
    given = (arguments or scan_arguments(world), world.environment(name), world.folder, output, output)
    return CONTEXT.Process(target=become_command, args=given)


def forked_job(world: World, job: str, window: str | None = None, name: str = "data") -> BaseProcess:
    """Return a process that runs a job which no command starts."""
    return CONTEXT.Process(target=_job, args=(world.environment(name), world.folder / "output", job, window))


def _job(environment: Mapping[str, str], output: Path, name: str, window: str | None) -> None:
    redirect(environment, output.parent, output, output)
    settings = Settings.from_environment(os.environ)
    with open_instance(settings) as instance:
        job = build_definitions(settings).resolve_job_def(name)
        result = job.execute_in_process(instance=instance, partition_key=window, raise_on_error=False)
    sys.exit(0 if result.success else 1)
