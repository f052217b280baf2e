"""The command line: `quant-assets demo | scan | replay | plan | resolve | serve | emulator`.

Each command is in a module of its own, but for the short ones. Results go to stdout, everything else to stderr.

Exit codes: 0 done; 1 unexpected; 2 wrong usage or input; 3 the feed was written, but the key was refused;
130 interrupted.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import warnings
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Annotated, TextIO

import typer

from quant_assets.cli.arguments import (
    WRONG_INPUT,
    Json,
    check_files,
    quiet_dagster,
    read_settings,
    refuse,
    say,
    warn_without_key,
)
from quant_assets.cli.demo import demo, emulator
from quant_assets.cli.interrupts import INTERRUPTED, Interruptible
from quant_assets.cli.plan import plan
from quant_assets.cli.replay import replay
from quant_assets.cli.scan import scan
from quant_assets.cli.standard_streams import repair_standard_streams
from quant_assets.common.settings import SettingsError
from quant_assets.common.toml_config import RenamedKeyWarning

app = typer.Typer(
    name="quant-assets",
    help="Scored trading signals for crypto perpetuals, from candles and Coinalyze data, through Dagster.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def print_version(asked: bool) -> None:
    """Print the version of the installed package and end, where that was asked for."""
    if asked:
        print(f"quant-assets {version('quant-assets')}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Take the options of the program itself."""


app.command(cls=Interruptible)(scan)
app.command(cls=Interruptible)(replay)
app.command(cls=Interruptible)(demo)
app.command(cls=Interruptible)(plan)


@app.command(cls=Interruptible)
def resolve(
    symbol: Annotated[str, typer.Argument(help="Symbol as the exchange and the candle files write it.")],
    exchange: Annotated[str, typer.Argument(help="Exchange as the candle files write it.")],
    as_json: Json = False,
) -> None:
    """Show which Coinalyze symbols serve one market now: its row of the symbol map."""
    import pandas as pd  # noqa: PLC0415

    from quant_assets.cli.rendering import print_row, print_row_as_json  # noqa: PLC0415
    from quant_assets.definitions import build_definitions  # noqa: PLC0415
    from quant_assets.orchestration.symbol_map import current_symbol_map  # noqa: PLC0415

    if not symbol.strip() or not exchange.strip():
        refuse("a market has a symbol and an exchange, such as: quant-assets resolve BTCUSDT BINANCE")
    settings = read_settings(fetches=True)
    check_files(settings)
    quiet_dagster()
    market = pd.DataFrame({"exchange": [exchange], "symbol": [symbol]})
    symbol_map, problem = current_symbol_map(settings, build_definitions, market, datetime.now(UTC))
    warn_without_key(settings)
    if problem:
        say(problem)
    (print_row_as_json if as_json else print_row)(symbol_map.iloc[0])


app.command()(emulator)


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for any free one.")] = 3000,
) -> None:
    """Serve the dashboard and its read-only API until interrupted."""
    try:
        from quant_assets.cli.serve import serve_dashboard  # noqa: PLC0415

        ended_by = serve_dashboard(host, port)
    except KeyboardInterrupt:
        ended_by = signal.SIGINT
    say("stopped")
    if ended_by == signal.SIGINT:
        raise typer.Exit(INTERRUPTED)


def show_renamed_keys_once() -> None:
    """Show a warning about a renamed key of a user's file as one line on stderr, once for each key."""
    show_by_default, shown = warnings.showwarning, set[str]()

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if not issubclass(category, RenamedKeyWarning):
            show_by_default(message, category, filename, lineno, file, line)
        elif str(message) not in shown:
            shown.add(str(message))
            say(str(message))

    warnings.showwarning = show


def main() -> None:
    """Run the command line."""
    repair_standard_streams()
    show_renamed_keys_once()
    gc.set_threshold(200_000, 50, 1_000)  # a command lives for seconds, and makes few cycles among many objects
    try:
        app()
    except SettingsError as error:
        say(str(error))
        sys.exit(WRONG_INPUT)
    except Exception as error:
        if os.environ.get("QUANT_TRACEBACK"):
            raise
        say(f"unexpected: {type(error).__name__}: {error} (QUANT_TRACEBACK=1 shows where)")
        sys.exit(1)
    finally:
        gc.freeze()  # all that is left goes with the process: to look through it for cycles first takes a second
