"""The command `quant-assets scan`: its arguments, and what it prints. The work is in scan.py."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from quant_assets.cli.arguments import (
    WRONG_INPUT,
    Folder,
    Json,
    check_files,
    check_folder,
    create_data_folder,
    quiet_dagster,
    read_selection,
    read_settings,
    read_strategies,
    read_window,
    refuse,
    say,
    warn_without_key,
)
from quant_assets.common.settings import Settings
from quant_assets.common.windows import Window

if TYPE_CHECKING:
    from quant_assets.orchestration.scan import ScanResult

KEY_REFUSED = 3


def scan(
    folder: Folder,
    strategy: Annotated[str, typer.Option(help="Strategies to show: all, or names separated by commas.")] = "all",
    as_of: Annotated[str, typer.Option(help="Scan the last window complete at this moment, ISO 8601.")] = "",
    output: Annotated[Path | None, typer.Option(help="Write the feed to this file too; - is stdout.")] = None,
    max_wait: Annotated[float, typer.Option(min=0, help="Seconds to spend on refreshing before the feed.")] = 120.0,
    symbol: Annotated[str, typer.Option(help="Refresh and show only symbols that contain this text.")] = "",
    exchange: Annotated[str, typer.Option(help="Refresh and show only this exchange.")] = "",
    as_json: Json = False,
) -> None:
    """Scan a folder of candles: refresh what is due, analyse every market, write the master feed.

    The master feed always holds every market and strategy. With --strategy, --symbol or --exchange the selection
    is written beside it, or to --output. With --output - the feed is all that stands on stdout.
    """
    settings = read_settings(fetches=True)
    window = read_window(as_of)
    strategies = read_strategies(strategy)
    check_folder(folder)
    check_files(settings)
    exchange, symbol = read_selection(folder, settings, exchange, symbol)
    to_stdout = output == Path("-")
    if to_stdout and as_json:
        refuse("--output - and --json both want stdout; leave one of them out")
    if to_stdout:
        output = None
    if output is not None and ((output.exists() and not output.is_file()) or not output.absolute().parent.is_dir()):
        refuse(f"--output {output} is no file in a folder that exists")
    if output is not None and output.resolve() == settings.feed_path.resolve():
        refuse(f"--output {output} is the master feed itself, which every scan writes; name another file")
    create_data_folder(settings)
    warn_without_key(settings)
    result = run(settings, folder, window, max_wait, exchange, symbol)
    narrowed = bool(strategies or symbol or exchange)
    feed, path = result.feed, result.feed_path
    if narrowed:
        from quant_assets.feed import select_signals  # noqa: PLC0415

        feed = select_signals(feed, strategies=strategies, exchange=exchange, symbol=symbol)
        path = settings.data_dir / "selection.json"
    if output is not None or (narrowed and not to_stdout):
        from quant_assets.common.files import replace_file  # noqa: PLC0415

        path = output.absolute() if output is not None else path
        replace_file(path, orjson.dumps(feed))
    if result.publication == "newer_window":
        say(
            f"{settings.feed_path} holds a newer window and stays; this one is {result.feed_path}, "
            f"`serve` has it under {feed['window']}, and --output writes it to a file"
        )
    if result.publication == "newer_candles":
        say(f"the feed of the window {feed['window']} was made from newer candles than these, and stays as it is")
    if to_stdout:
        _print_feed(feed, result.feed_path)
    else:
        show(feed, result, path, as_json=as_json)
    if result.key_refused:
        raise typer.Exit(KEY_REFUSED)


def run(settings: Settings, folder: Path, window: Window, max_wait: float, exchange: str, symbol: str) -> ScanResult:
    """Run a scan with its progress shown; a failed run ends the program with the step's message."""
    from quant_assets.cli.rendering import shown_progress  # noqa: PLC0415

    quiet_dagster()
    from quant_assets.definitions import build_definitions  # noqa: PLC0415
    from quant_assets.orchestration.scan import ScanFailed, StaleCandles, UnreadableCandles, run_scan  # noqa: PLC0415

    try:
        with shown_progress() as progress:
            result = run_scan(
                settings,
                build_definitions(settings, progress),
                folder.absolute(),
                window,
                max_wait_seconds=max_wait,
                exchange=exchange,
                symbol=symbol,
                progress=progress,
            )
    except StaleCandles as error:
        say(f"{error}{_advice_of_moment(folder, error.as_of)}")
        raise typer.Exit(WRONG_INPUT) from None
    except UnreadableCandles as error:
        say(str(error))
        raise typer.Exit(WRONG_INPUT) from None
    except ScanFailed as error:
        say(f"the scan failed: {error}")
        raise typer.Exit(1) from None
    for note in result.notes:
        say(note)
    return result


def _advice_of_moment(folder: Path, as_of: str) -> str:
    """Return the command that scans a moment, where there is one that can be scanned."""
    if not as_of:
        return ""
    return f": {shlex.quote(sys.argv[0])} scan {shlex.quote(str(folder))} --as-of {as_of} scans what there is"


def _print_feed(feed: dict[str, Any], path: Path) -> None:
    """Write a feed to stdout as JSON; ends the program where it cannot be written, since part of it is of no use."""
    try:
        with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as output:
            output.write(orjson.dumps(feed) + b"\n")
    except OSError as error:
        say(f"stdout cannot be written ({error.strerror}); the feed is {path}")
        raise typer.Exit(1) from None


def show(feed: dict[str, Any], result: ScanResult, path: Path, *, as_json: bool) -> None:
    """Print what came of a scan."""
    from quant_assets.cli.rendering import print_scan, print_summary  # noqa: PLC0415

    (print_summary if as_json else print_scan)(feed, path, result.api, result.elapsed_seconds)
