"""How long-running work reports its progress."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """A callback that the working thread calls now and then."""

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None:
        """Report that `done` of `total` units of `stage` are done; `note` is a short line for people."""


def silent(stage: str, done: int, total: int, note: str = "") -> None:
    """Ignore the progress."""
