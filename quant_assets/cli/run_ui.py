"""`make ui`: runs `dagster dev`, and ends it on Ctrl-C with one line.

`dagster dev` and its children answer Ctrl-C with warnings and tracebacks of their own, which no setting turns off. What
they write from then on is dropped.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Final

from quant_assets.cli.arguments import WRONG_INPUT, say
from quant_assets.cli.interrupts import INTERRUPTED

HOST: Final = "127.0.0.1"
MAX_PORT: Final = 65535
#: Lines that Dagster writes at each start, and that need no action: `dagster dev` has a successor, and the sensors of a
#: new instance have seen no event yet.
WARNING_OF_SUCCESSOR: Final = b"SupersessionWarning"
NO_EVENT_YET: Final = b"No cursor for event type"


def run_ui(port: int, command: Sequence[str]) -> int:
    """Run a command that serves on a port until it ends, or a signal ends it; return the exit code."""
    if not 1 <= port <= MAX_PORT:
        say(f"Invalid PORT: expected a number from 1 to {MAX_PORT}")
        return WRONG_INPUT
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as a server does
        try:
            probe.bind((HOST, port))
        except OSError as error:
            say(f"port {port} on {HOST} cannot be used: {error.strerror}; choose another: make ui PORT={port + 1}")
            return WRONG_INPUT
    program: subprocess.Popen[bytes] | None = None
    ended_by = 0

    def stop(number: int, _: object) -> None:
        nonlocal ended_by
        if program is None:
            sys.exit(INTERRUPTED)
        # Once: a second signal would cut short how they end. A second Ctrl-C is for those that hang.
        with suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL if ended_by else signal.SIGINT)
        if not ended_by:
            say("stopping Dagster, which takes some seconds")
        ended_by = number

    # Before Dagster starts, which else would inherit that a shell's background job ignores SIGINT.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    with subprocess.Popen(  # noqa: S603 - the Makefile's
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        process_group=0,  # so that each of them is told once, by `stop`, and not by the terminal too
    ) as started:
        program = started
        print(f"Dagster's UI: http://{HOST}:{port}", flush=True)
        for line in without_noise(started.stdout or ()):
            if not ended_by:
                with suppress(OSError):
                    sys.stdout.buffer.write(line)
                    sys.stdout.buffer.flush()
    return INTERRUPTED if ended_by == signal.SIGINT else 0 if ended_by else started.returncode


def without_noise(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of Dagster's log but for those of every start that need no action."""
    is_after_warning = False
    for line in lines:
        is_source = is_after_warning and line.startswith(b"  ")  # Python shows the code that warned
        is_after_warning = WARNING_OF_SUCCESSOR in line
        if not (is_source or is_after_warning or NO_EVENT_YET in line):
            yield line


if __name__ == "__main__":
    asked = sys.argv[1]
    sys.exit(run_ui(int(asked) if asked.isdecimal() else 0, sys.argv[2:]))
