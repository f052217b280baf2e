"""Repair of closed or limited standard streams before a command starts."""

from __future__ import annotations

import io
import os
import sys


def repair_standard_streams() -> None:
    """Open closed streams on /dev/null, and replace characters that a terminal cannot encode.

    Otherwise the first files that the program opens would get the descriptors of closed streams, and its messages.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)  # the lowest free one: that of the closed stream
            setattr(sys, name, os.fdopen(descriptor, "r" if name == "stdin" else "w", encoding="utf-8"))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
