"""The program `quant-assets`: its commands, each in a module of its own, and its entry point.

Results go to stdout, everything else to stderr.

Exit codes: 0 done; 1 unexpected; 2 wrong usage or input; 3 the feed was written, but the key was refused;
130 interrupted.
"""

from __future__ import annotations

import gc
import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from quant_assets.cli.demo import demo
from quant_assets.cli.emulator import emulator
from quant_assets.cli.errors import EXIT_UNEXPECTED, EXIT_WRONG_INPUT, echo_err, show_file_warnings_once
from quant_assets.cli.evaluate import evaluate
from quant_assets.cli.fetch import fetch
from quant_assets.cli.interrupts import InterruptibleCommand
from quant_assets.cli.move import move
from quant_assets.cli.plan import plan
from quant_assets.cli.replay import replay
from quant_assets.cli.resolve import resolve
from quant_assets.cli.scan import scan
from quant_assets.cli.serve import serve
from quant_assets.cli.standard_streams import repair_standard_streams
from quant_assets.cli.strategy import app as strategy
from quant_assets.common.files import UnreachableObject
from quant_assets.common.settings import SettingsError

app = typer.Typer(
    name="quant-assets",
    help="Scored trading signals for crypto perpetuals, from candles and Coinalyze data, through Dagster.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def print_version(is_set: bool) -> None:
    """Print the version of the installed package and exit, if --version is set."""
    if is_set:
        print(f"quant-assets {version('quant-assets')}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Take the options of the program itself."""


for command in (fetch, scan, replay, evaluate, demo, plan, resolve, move):
    app.command(cls=InterruptibleCommand)(command)
for server in (emulator, serve):
    app.command()(server)
app.add_typer(strategy, name="strategy")


def main() -> None:
    """Run the command line."""
    repair_standard_streams()
    show_file_warnings_once()
    gc.set_threshold(200_000, 50, 1_000)  # a command lives for seconds, and makes few cycles among many objects
    try:
        app()
    except SettingsError as error:
        echo_err(str(error))
        sys.exit(EXIT_WRONG_INPUT)
    except UnreachableObject as error:
        echo_err(str(error))
        sys.exit(EXIT_UNEXPECTED)
    except Exception as error:
        if os.environ.get("QUANT_TRACEBACK"):
            raise
        echo_err(f"unexpected: {type(error).__name__}: {error} (set QUANT_TRACEBACK=1 to see the traceback)")
        sys.exit(EXIT_UNEXPECTED)
    finally:
        gc.freeze()  # skip the collection at exit, which takes a second
