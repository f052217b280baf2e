"""The machines of the cluster have nothing in common but the network."""

from __future__ import annotations

import pytest

from quant_assets_tests.cluster.conftest import Installation
from quant_assets_tests.defs.live import ROOT
from quant_assets_tests.defs.workers import WORKERS

pytestmark = pytest.mark.cluster


def test_machine_sees_no_folder_of_another_one(installation: Installation) -> None:
    folder = installation.cluster.world.folder
    for name in WORKERS:
        machine = installation.machines[name]
        assert machine.output("ls", str(folder)).split() == [name]
        assert machine.output("hostname").strip() == name
        for shared in ("/tmp", "/dev/shm", "/run", "/var/tmp"):
            machine.output("touch", f"{shared}/of_{name}")
            names = [found for found in machine.output("ls", shared).split() if found.startswith("of_")]
            assert names == [f"of_{name}"]


def test_machine_cannot_write_what_all_machines_see(installation: Installation) -> None:
    machine = installation.machines["worker-1"]
    for shared in ("/usr", "/etc", str(ROOT)):
        options = machine.output("findmnt", "--noheadings", "--output", "OPTIONS", "--target", shared)
        assert options.startswith("ro,"), shared


def test_machine_sees_its_own_processes_alone(installation: Installation) -> None:
    first, other = (installation.machines[name].output("sh", "-c", "cat /proc/[0-9]*/cmdline") for name in WORKERS)
    assert "worker-1@localhost" in first
    assert "worker-2@localhost" not in first
    assert "worker-2@localhost" in other
