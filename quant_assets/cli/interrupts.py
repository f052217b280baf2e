"""Ctrl-C: one line and exit code 130, whatever the command is doing, and whatever processes it has started."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any, Final

import typer
from typer.core import TyperCommand

from quant_assets.cli.arguments import say

INTERRUPTED: Final = 130


@contextmanager
def shield_children() -> Iterator[None]:
    """Keep Ctrl-C from the processes that the block starts; this one gets it all the same, as a SIGTERM.

    A terminal sends SIGINT to the children of a command too. Those that Dagster starts to copy the output of a step
    would answer with a traceback. They inherit from here that SIGINT is blocked, and a thread of this process takes it.
    Enter it before other threads start, since one that does not block SIGINT would be given it.
    """
    ended = Event()

    def pass_on() -> None:
        while True:
            signal.sigwait({signal.SIGINT})
            if ended.is_set():
                return
            os.kill(os.getpid(), signal.SIGTERM)

    # Between its steps, Dagster gives SIGTERM the handler of SIGINT. A command that a shell script started in the
    # background has inherited that SIGINT is ignored, so there SIGTERM would be ignored too.
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, signal.default_int_handler) for number in numbers]
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    thread = Thread(target=pass_on, name="Ctrl-C", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        signal.pthread_kill(thread.ident or 0, signal.SIGINT)
        thread.join()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


class Interruptible(TyperCommand):
    """A command that does some work and ends. Ctrl-C and SIGTERM end it with a line that says what that means."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            with shield_children():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            say("interrupted; what was fetched is kept")
            raise typer.Exit(INTERRUPTED) from None
