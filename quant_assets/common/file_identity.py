"""The identity of a file's state, to notice that a file has changed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_INODE_MASK = 2**63 - 1  # inodes are unsigned; a table's int64 is signed


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """Size, modification time and inode of a file: two equal identities mean an unchanged file."""

    size: int
    modified_ns: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> FileIdentity:
        """Return the identity in the result of `os.stat`."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ino & _INODE_MASK)

    @classmethod
    def at(cls, path: Path) -> FileIdentity | None:
        """Return the identity of the file at a path, None if there is no file. Raises other errors of `os.stat`."""
        try:
            return cls.of(path.stat())
        except (FileNotFoundError, NotADirectoryError):
            return None
