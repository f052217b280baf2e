"""Handling of Ctrl-C: one line on stderr and exit code 130, also while child processes run."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

import typer
from typer.core import TyperCommand

from quant_assets.cli.errors import EXIT_INTERRUPTED, echo_err


@contextmanager
def block_sigint_in_children() -> Iterator[None]:
    """Block SIGINT in the processes that the block starts; this process receives Ctrl-C as SIGTERM instead.

    A terminal sends SIGINT to the children of a command too, and those in which Dagster copies the output of a step
    would print a traceback. They inherit the blocked signal, while a thread of this process waits for it.
    Enter the block before other threads start: a thread that does not block SIGINT could receive it.
    """
    ended = Event()

    def forward_as_sigterm() -> None:
        while True:
            signal.sigwait({signal.SIGINT})
            if ended.is_set():
                return
            os.kill(os.getpid(), signal.SIGTERM)

    # Between its steps, Dagster sets the handler of SIGINT for SIGTERM too. A command that a shell script starts in the
    # background inherits an ignored SIGINT, so SIGTERM would be ignored too.
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, signal.default_int_handler) for number in numbers]
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    thread = Thread(target=forward_as_sigterm, name="Ctrl-C", daemon=True)
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


class InterruptibleCommand(TyperCommand):
    """A command that ends by itself. Ctrl-C and SIGTERM end it earlier, with a message and exit code 130."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            with block_sigint_in_children():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            echo_err("interrupted; what was fetched is kept")
            raise typer.Exit(EXIT_INTERRUPTED) from None
