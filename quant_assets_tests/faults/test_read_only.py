"""A read-only data folder is rejected at once, with its path and a remedy."""

from __future__ import annotations

from pathlib import Path

from quant_assets_tests.faults.commands import scan_command
from quant_assets_tests.faults.disks import disk
from quant_assets_tests.world import World


def test_read_only_data_folder_is_exit_2_with_one_line_and_no_call(world: World, tmp_path: Path) -> None:
    with disk(world.folder / "read_only", 24_000) as made:
        world.scan("read_only")
        feed, spent = (made.folder / "master_feed.json").read_bytes(), world.emulator.accounting.calls
        made.read_only()
        done = scan_command(world, "read_only", tmp_path)
        assert done.returncode == 2
        assert done.stdout == ""
        assert len(done.stderr.splitlines()) == 1
        assert str(made.folder) in done.stderr
        assert "make its folder writable, or choose another one" in done.stderr
        assert world.emulator.accounting.calls == spent
        assert (made.folder / "master_feed.json").read_bytes() == feed
        made.read_only(on=False)
