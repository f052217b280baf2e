"""Files that are either whole or not there, and what to do where the disk takes no more."""

from __future__ import annotations

import errno
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

FREE_SPACE: Final = "free space on its disk, then try again"
MAKE_WRITABLE: Final = "make its folder writable, or choose another one"
REMEDIES: Final = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EIO), FREE_SPACE),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), MAKE_WRITABLE),
}
#: SQLite says "disk I/O error" of a disk that is full as often as it says so.
SQLITE_REMEDIES: Final = {
    **dict.fromkeys((sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR), FREE_SPACE),
    **dict.fromkeys((sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM), MAKE_WRITABLE),
    sqlite3.SQLITE_CANTOPEN: "make its folder writable, or move it away",
}
PRIMARY_CODE: Final = 0xFF


class WriteError(OSError):
    """A file could not be written, and what was there stands; the message names it, the reason and the remedy."""

    def __str__(self) -> str:
        """Return path, reason and remedy."""
        return f"{self.filename} cannot be written ({self.strerror}); {remedy(self) or 'see to its disk'}"


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; what was written to it takes the place of `path` when the block ends.

    A reader, or a crash, finds the old file or the new one, never a part. The folder is made where it is missing.
    Raises WriteError; after any exception the old file stands.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _temporary(path) as temporary:
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        # An error of a write itself names no file, and one of creating names the temporary one.
        reason = str(error) if error.errno is None else os.strerror(error.errno)
        raise WriteError(error.errno, reason, str(path)) from error


def replace_file(path: Path, content: bytes) -> None:
    """Write `content` to `path` as `atomic_write` does."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def remedy(error: BaseException) -> str:
    """Return what to do about an error, "" where it is none of a disk that cannot be written.

    The errors that it came of are looked at too.
    """
    seen: BaseException | None = error
    while seen is not None:
        code = getattr(seen, "sqlite_errorcode", None)
        if code is not None and code & PRIMARY_CODE in SQLITE_REMEDIES:
            return SQLITE_REMEDIES[code & PRIMARY_CODE]
        if isinstance(seen, OSError) and seen.errno in REMEDIES:
            return REMEDIES[seen.errno]
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return ""


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """Give a new file beside `path`, which is removed where the block fails."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", suffix=".tmp", dir=path.parent)
    temporary = Path(name)
    try:
        os.fchmod(descriptor, 0o644)
        yield temporary
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
