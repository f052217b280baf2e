"""Small, full or read-only disks: file systems in memory that the test mounts."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

PAGE = 4096


@dataclass(frozen=True)
class Disk:
    """A file system in memory, mounted at `folder`."""

    folder: Path

    @property
    def _filler(self) -> Path:
        return self.folder / "filler"

    def fill(self, left_pages: int) -> None:
        """Fill the disk, leaving this many pages of 4 KB free."""
        self.free()
        state = os.statvfs(self.folder)
        pages = max(state.f_bavail * state.f_frsize // PAGE - left_pages, 0)
        self._filler.write_bytes(b"x" * (pages * PAGE))

    def free(self) -> None:
        """Remove the filler file."""
        self._filler.unlink(missing_ok=True)

    def read_only(self, *, on: bool = True) -> None:
        """Remount the disk read-only, or writable with `on=False`."""
        _mount("-o", "remount,ro" if on else "remount,rw", str(self.folder))


@contextmanager
def disk(folder: Path, kilobytes: int) -> Iterator[Disk]:
    """Mount a disk of this size; skip the test where mounting is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    _mount("-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder))
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True, timeout=60)


def _mount(*arguments: str) -> None:
    try:
        done = subprocess.run(["mount", *arguments], capture_output=True, text=True, timeout=60, check=False)
    except FileNotFoundError:
        pytest.skip("there is no program `mount` here")
    if done.returncode:
        pytest.skip(f"mounting a disk is not allowed here: {done.stderr.strip()}")
