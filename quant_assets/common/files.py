"""Atomic writes, and advice for errors of the disk."""

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
CHECK_STORE: Final = "check the URL, that the store runs, and the AWS_… variables"
ADVICE_BY_ERRNO: Final = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EIO), FREE_SPACE),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), MAKE_WRITABLE),
}
#: SQLite often reports a full disk as "disk I/O error".
ADVICE_BY_SQLITE_CODE: Final = {
    **dict.fromkeys((sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR), FREE_SPACE),
    **dict.fromkeys((sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM), MAKE_WRITABLE),
    sqlite3.SQLITE_CANTOPEN: "make its folder writable, or move it away",
}
SQLITE_PRIMARY_CODE_MASK: Final = 0xFF


class UserFileWarning(FutureWarning):
    """A file of the user is from an earlier version; the message names it, and says what was done or what to do."""


class WriteError(OSError):
    """A file could not be written; its old content is unchanged. The message has path, reason and advice."""

    def __str__(self) -> str:
        """Return path, reason and advice."""
        otherwise = CHECK_STORE if "://" in self.filename else "check its disk"
        return f"{self.filename} cannot be written ({self.strerror}); {advice_for(self) or otherwise}"


class UnreachableObject(OSError):
    """An object store cannot be reached, or refuses; the message names the object. Says nothing of what is stored."""


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder, and rename it to `path` when the block ends.

    Readers see the old file or the new one, never a part, also after a crash. A missing folder is created.
    Raises WriteError. After any exception the old file is unchanged.
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
        # A failed write names no file, and a failed creation names the temporary file.
        reason = str(error) if error.errno is None else os.strerror(error.errno)
        raise WriteError(error.errno, reason, str(path)) from error


def replace_file(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically. Raises WriteError."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def advice_for(error: BaseException) -> str:
    """Return what to do about an error of the disk, found in the error or its causes; "" for any other error."""
    seen: BaseException | None = error
    while seen is not None:
        code = getattr(seen, "sqlite_errorcode", None)
        if code is not None and code & SQLITE_PRIMARY_CODE_MASK in ADVICE_BY_SQLITE_CODE:
            return ADVICE_BY_SQLITE_CODE[code & SQLITE_PRIMARY_CODE_MASK]
        if isinstance(seen, OSError) and seen.errno in ADVICE_BY_ERRNO:
            return ADVICE_BY_ERRNO[seen.errno]
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return ""


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """Yield a new file in the folder of `path`, and remove it if the block fails."""
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
