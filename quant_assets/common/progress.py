"""How long work tells what it has done so far."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called now and then, from the thread that does the work."""

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None:
        """Say that `done` of `total` units of `stage` are done; `note` is one short line for a person."""


def silent(stage: str, done: int, total: int, note: str = "") -> None:
    """Show nothing."""
