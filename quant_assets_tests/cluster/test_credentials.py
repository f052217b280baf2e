"""Credentials of the database, the object store and the broker stay where they are set."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from quant_assets_tests.defs.live import stop_process_group, wait_for
from quant_assets_tests.defs.postgresql import DATABASE_PASSWORD
from quant_assets_tests.defs.workers import (
    BROKER_PASSWORD,
    KEY,
    WORKERS,
    Cluster,
    places_with_credentials,
    worker_command,
)
from quant_assets_tests.s3 import SECRET

pytestmark = pytest.mark.cluster
CREDENTIALS = (KEY, BROKER_PASSWORD, DATABASE_PASSWORD, SECRET)


def test_errors_of_servers_that_refuse_show_no_credentials(cluster: Cluster) -> None:
    variables = cluster.environments["worker-1"]

    def wrong(*names: str) -> dict[str, str]:
        """Return variables whose credentials begin with the right ones."""
        changed = {name: variables[name] for name in names}
        for secret in CREDENTIALS:
            changed = {name: value.replace(secret, f"{secret}-wrong") for name, value in changed.items()}
        return changed

    window = cluster.world.window.key
    cluster.objects.refuses = lambda *_: True
    try:
        failed = cluster.execute("worker-1", "refused-objects", "analyse", window).wait(120)
    finally:
        cluster.objects.refuses = lambda *_: False
    assert failed
    for name in ("QUANT_DATABASE_URL", "DAGSTER_POSTGRES_URL"):
        log = f"refused-{name}"
        assert cluster.execute("worker-1", log, "analyse", window, None, **wrong(name)).wait(120), name
        assert "password authentication failed" in cluster.log(log), name
    refused = cluster.start_on(
        "worker-1", *worker_command("refused"), log="refused-broker", more=wrong("CELERY_BROKER_URL")
    )
    wait_for(lambda: "invalid username-password pair" in cluster.log("refused-broker"), 60, "the refusal")
    stop_process_group(refused, signal.SIGKILL)
    assert _with_credentials({path.name: path.read_bytes() for path in cluster.world.folder.glob("*.log")}) == set()


def test_credentials_are_in_no_log_record_file_or_command_line(cluster: Cluster) -> None:
    assert places_with_credentials(cluster) == set()
    files = {
        str(path): path.read_bytes()
        for name in ("control", *WORKERS)
        for path in Path(cluster.world.folder / name).rglob("*")
        if path.is_file()
    }
    assert len(files) > 100
    assert _with_credentials(files) == set()


def _with_credentials(places: dict[str, bytes]) -> set[tuple[str, str]]:
    return {(secret, name) for secret in CREDENTIALS for name, text in places.items() if secret.encode() in text}
