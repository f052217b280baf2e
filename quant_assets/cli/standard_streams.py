"""The three streams of a command, made fit before it begins."""

from __future__ import annotations

import io
import os
import sys


def repair_standard_streams() -> None:
    """Lead streams that are closed to nowhere, and let no letter that a terminal lacks be a reason to fail.

    Else the first files that the program opens would take the numbers of closed streams, and get what is said.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: the stream's own
            setattr(sys, name, os.fdopen(nowhere, "r" if name == "stdin" else "w", encoding="utf-8"))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
