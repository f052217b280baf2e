"""Run a command on a pseudo-terminal: read its output, type, and press Ctrl-C, which all its processes receive."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

TIMEOUT_SECONDS = 120
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A terminal with a command in its foreground."""

    def __init__(self, pid: int, descriptor: int) -> None:
        self.pid = pid
        self._descriptor = descriptor
        self._shown = b""
        self._pressed_at = 0

    def wait_for(self, text: str) -> None:
        """Read until this text is in the output."""
        self.wait_until(lambda: text.encode() in self._shown)

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Read until the condition is true; unread output would block the command."""
        latest = time.monotonic() + TIMEOUT_SECONDS
        while not condition():
            assert time.monotonic() < latest, self._shown
            assert self._read(), self._shown

    def type(self, line: str) -> None:
        """Send a line as a person types it."""
        os.write(self._descriptor, f"{line}\n".encode())

    def press_ctrl_c(self) -> None:
        """Send SIGINT to the foreground, as the terminal's driver does."""
        self._pressed_at = len(self._shown)
        os.write(self._descriptor, b"\x03")

    def end(self) -> tuple[list[str], int]:
        """Wait for the end; return the lines since Ctrl-C without progress, and the exit code."""
        latest = time.monotonic() + TIMEOUT_SECONDS
        while self._read():
            assert time.monotonic() < latest, self._shown
        text = CONTROL.sub("", self._shown[self._pressed_at :].decode(errors="replace")).replace("^C", "\n")
        lines = [line.strip() for line in re.split(r"[\r\n]+", text)]
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.pid = 0
        return [line for line in lines if line and "━" not in line], code

    def _read(self) -> bool:
        """Read available output, waiting for it briefly; return False at the end of the output."""
        if not select.select([self._descriptor], [], [], 0.02)[0]:
            return True
        try:
            found = os.read(self._descriptor, 65_536)
        except OSError:  # the last process that had it open is gone
            return False
        self._shown += found
        return bool(found)


@contextmanager
def on_terminal(command: Sequence[str], env: Mapping[str, str], cwd: Path) -> Iterator[Terminal]:
    """Start a command on a terminal of its own, and kill it and its children at the end of the block."""
    pid, descriptor = pty.fork()
    if pid == 0:
        try:
            os.chdir(cwd)
            os.execvpe(command[0], list(command), dict(env))
        finally:
            os._exit(127)
    terminal = Terminal(pid, descriptor)
    try:
        yield terminal
    finally:
        if terminal.pid:
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        os.close(descriptor)
