"""Messages on stderr, and the exit codes of the command line."""

from __future__ import annotations

import sys
import warnings
from contextlib import suppress
from typing import Final, NoReturn, TextIO

import typer

from quant_assets.common.files import UserFileWarning
from quant_assets.common.text import escape_control_chars

EXIT_UNEXPECTED: Final = 1
EXIT_WRONG_INPUT: Final = 2
EXIT_KEY_REFUSED: Final = 3
EXIT_INTERRUPTED: Final = 130


def echo_err(line: str) -> None:
    """Print a line to stderr, without control characters; ignore a stderr that cannot be written."""
    with suppress(OSError):
        print(escape_control_chars(line), file=sys.stderr, flush=True)


def usage_error(line: str) -> NoReturn:
    """Print a line that says what is wrong and what to do, and exit with the code for wrong input."""
    echo_err(line)
    raise typer.Exit(EXIT_WRONG_INPUT)


def show_file_warnings_once() -> None:
    """Show a UserFileWarning as one line on stderr, once for each message."""
    show_by_default, shown = warnings.showwarning, set[str]()

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if not issubclass(category, UserFileWarning):
            show_by_default(message, category, filename, lineno, file, line)
        elif str(message) not in shown:
            shown.add(str(message))
            echo_err(str(message))

    warnings.showwarning = show
