"""Read the bytes of a candle file, without waiting and without mixing two states of the file."""

from __future__ import annotations

import os
import stat

from quant_assets.common.file_identity import FileIdentity

MAX_FILE_BYTES = 64 * 1024 * 1024


class CandleFileError(ValueError):
    """A candle file that cannot be used at all; the message is the reason, in one line."""


class CandleFileUnreadable(CandleFileError):
    """A candle file whose bytes could not be read, or not in one piece; another try may succeed."""


def read_content(path: str) -> tuple[bytes, FileIdentity]:
    """Return the content of a regular file, and the identity of the file that was read.

    Symbolic links are not followed, and pipes and devices are never waited for. Raises CandleFileError for a file
    above MAX_FILE_BYTES, before any of it is read, and CandleFileUnreadable where there is no regular file or it
    changed meanwhile.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            before = os.fstat(descriptor)
            if not stat.S_ISREG(before.st_mode):
                raise CandleFileUnreadable("not a regular file")
            check_size(before.st_size)
            content = os.read(descriptor, before.st_size + 1)
            after = os.fstat(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise CandleFileUnreadable(f"cannot be read: {error.strerror or error}") from None
    identity = FileIdentity.of(before)
    if FileIdentity.of(after) != identity or len(content) != identity.size:
        raise CandleFileUnreadable("changed while it was read")
    return content, identity


def check_size(size: int) -> None:
    """Raise CandleFileError for a file above MAX_FILE_BYTES."""
    if size > MAX_FILE_BYTES:
        raise CandleFileError(f"{size:,} bytes, more than the limit of {MAX_FILE_BYTES:,} for a candle file")
