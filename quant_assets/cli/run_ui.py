"""The program of `make ui`: run `dagster dev`, and end it on Ctrl-C with one line.

`dagster dev` and its children print warnings and tracebacks on Ctrl-C, which no setting turns off, so their output is
dropped from then on.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from quant_assets.cli.errors import EXIT_INTERRUPTED, EXIT_WRONG_INPUT, echo_err, show_file_warnings_once
from quant_assets.common.settings import SettingsError
from quant_assets.orchestration.instance_config import prepare_dagster_yaml

HOST: Final = "127.0.0.1"
MAX_PORT: Final = 65535
#: Lines of Dagster at each start that need no action: `dagster dev` has a successor, and sensors of a new instance have
#: seen no event yet.
WARNING_OF_SUCCESSOR: Final = b"SupersessionWarning"
NO_EVENT_YET: Final = b"No cursor for event type"


def run_ui(port: int, command: Sequence[str]) -> int:
    """Prepare the instance in DAGSTER_HOME, run a command that serves it until it ends, and return the exit code."""
    if not 1 <= port <= MAX_PORT:
        echo_err(f"Invalid PORT: expected a number from 1 to {MAX_PORT}")
        return EXIT_WRONG_INPUT
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as a server does
        try:
            probe.bind((HOST, port))
        except OSError as error:
            echo_err(f"port {port} on {HOST} cannot be used: {error.strerror}; choose another: make ui PORT={port + 1}")
            return EXIT_WRONG_INPUT
    try:
        prepare_dagster_yaml(Path(os.environ["DAGSTER_HOME"]))
    except (SettingsError, OSError) as error:
        echo_err(str(error))
        return EXIT_WRONG_INPUT
    program: subprocess.Popen[bytes] | None = None
    ended_by = 0

    def stop(number: int, _: object) -> None:
        nonlocal ended_by
        if program is None:
            sys.exit(EXIT_INTERRUPTED)
        # SIGINT only once, since another one would disturb the shutdown. A second Ctrl-C kills a hanging shutdown.
        with suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL if ended_by else signal.SIGINT)
        if not ended_by:
            echo_err("stopping Dagster, which takes some seconds")
        ended_by = number

    # Before Dagster starts: in a background job of a shell, it would inherit an ignored SIGINT.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    with subprocess.Popen(  # noqa: S603 - the Makefile passes it
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        process_group=0,  # so that only `stop` sends signals to it, and not the terminal too
    ) as started:
        program = started
        print(f"Dagster's UI: http://{HOST}:{port}", flush=True)
        for line in without_noise(started.stdout or ()):
            if not ended_by:
                with suppress(OSError):
                    sys.stdout.buffer.write(line)
                    sys.stdout.buffer.flush()
    return EXIT_INTERRUPTED if ended_by == signal.SIGINT else 0 if ended_by else started.returncode


def without_noise(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of Dagster's log without those at each start that need no action."""
    is_after_warning = False
    for line in lines:
        is_source = is_after_warning and line.startswith(b"  ")  # Python shows the code that warned
        is_after_warning = WARNING_OF_SUCCESSOR in line
        if not (is_source or is_after_warning or NO_EVENT_YET in line):
            yield line


if __name__ == "__main__":
    show_file_warnings_once()
    asked = sys.argv[1]
    sys.exit(run_ui(int(asked) if asked.isdecimal() else 0, sys.argv[2:]))
