"""The command `quant-assets scan`; orchestration/scan.py does the work."""

from __future__ import annotations

import gc
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import orjson
import typer

from quant_assets.cli.arguments import (
    Json,
    parse_selection,
    parse_strategies,
    parse_window,
)
from quant_assets.cli.candle_sources import known_markets, prepare_candles
from quant_assets.cli.environment import (
    check_config_files,
    create_data_folder,
    load_settings,
    silence_dagster,
    warn_about_missing_key,
)
from quant_assets.cli.errors import EXIT_KEY_REFUSED, EXIT_UNEXPECTED, EXIT_WRONG_INPUT, echo_err, usage_error
from quant_assets.common.settings import Settings
from quant_assets.common.windows import Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quant_assets.orchestration.scan import ScanResult
    from quant_assets.signals import Strategy

#: A scan makes hundreds of thousands of objects and few reference cycles, so that collections find nothing.
GC_THRESHOLD: Final = 1_000_000


def scan(
    folder: Annotated[
        Path | None,
        typer.Argument(help="Folder of candle files; without it, candles are fetched as exchanges.toml says."),
    ] = None,
    strategy: Annotated[str, typer.Option(help="Strategies to show: all, or names separated by commas.")] = "all",
    as_of: Annotated[str, typer.Option(help="Scan the last window complete at this moment, ISO 8601.")] = "",
    output: Annotated[Path | None, typer.Option(help="Write the feed to this file too; - is stdout.")] = None,
    max_wait: Annotated[float, typer.Option(min=0, help="Seconds to spend on refreshing before the feed.")] = 120.0,
    symbol: Annotated[str, typer.Option(help="Refresh and show only symbols that contain this text.")] = "",
    exchange: Annotated[str, typer.Option(help="Refresh and show only this exchange.")] = "",
    as_json: Json = False,
) -> None:
    """Scan a window: fetch candles or read a folder, refresh what is due, analyse every market, write the feed.

    With a folder, its candles alone are scanned. Without one, candles are fetched from the exchanges of exchanges.toml,
    and those of QUANT_CANDLES_DIR are scanned with them.

    The master feed always holds every market and strategy. With --strategy, --symbol or --exchange the selection
    is written beside it, or to --output. With --output - the feed is written to stdout, and nothing else.
    """
    from quant_assets.storage.database_clock import clock_of  # noqa: PLC0415

    settings = load_settings(fetches=True)
    clock = clock_of(settings)
    window = parse_window(as_of, clock=clock)
    to_stdout = output == Path("-")
    if to_stdout and as_json:
        usage_error("--output - and --json both write to stdout; choose one of them")
    if to_stdout:
        output = None
    if output is not None and ((output.exists() and not output.is_file()) or not output.absolute().parent.is_dir()):
        usage_error(f"--output {output} must be a file in a folder that exists")
    if output is not None and output.resolve() == settings.feed_path.resolve():
        usage_error(f"--output {output} is the master feed itself, which every scan writes; choose another file")
    strategies = parse_strategies(strategy, settings.strategies_dir)
    configured = check_config_files(settings)
    max_wait = prepare_candles(settings, folder, max_wait)
    window = parse_window(as_of, clock=clock)  # the last one may have ended while candles were fetched
    exchange, symbol = parse_selection(known_markets(settings, folder), settings, exchange, symbol)
    create_data_folder(settings)
    warn_about_missing_key(settings)
    result = run_and_report(settings, folder, window, max_wait, exchange, symbol)
    narrowed = bool(strategies or symbol or exchange)
    feed, path = result.feed, result.feed_path
    if narrowed:
        from quant_assets.feed import select_signals  # noqa: PLC0415

        feed = select_signals(feed, strategies=strategies, exchange=exchange, symbol=symbol)
        path = str(settings.data_dir / "selection.json")
    if output is not None or (narrowed and not to_stdout):
        from quant_assets.common.files import replace_file  # noqa: PLC0415

        path = str(output.absolute()) if output is not None else path
        replace_file(Path(path), orjson.dumps(feed))
    if result.publication == "newer_window":
        echo_err(
            f"{settings.feed_place} has a newer window and was not replaced; this window is {result.feed_path}, "
            f"`serve` shows it as {feed['window']}, and --output writes it to a file"
        )
    if result.publication == "newer_candles":
        echo_err(f"the feed of the window {feed['window']} was made from newer candles, and was not replaced")
    if to_stdout:
        _print_feed(feed, result.feed_path)
    else:
        print_result(feed, result, path, configured, as_json=as_json)
    if result.key_refused:
        raise typer.Exit(EXIT_KEY_REFUSED)


def run_and_report(
    settings: Settings, folder: Path | None, window: Window, max_wait: float, exchange: str, symbol: str
) -> ScanResult:
    """Run a scan, show its progress and print its notes; exit with the message of the failed step if it fails."""
    from quant_assets.cli.rendering import progress_bars  # noqa: PLC0415

    silence_dagster()
    gc.set_threshold(GC_THRESHOLD)
    from quant_assets.definitions import build_definitions  # noqa: PLC0415
    from quant_assets.orchestration.scan import ScanFailed, StaleCandles, UnreadableCandles, run_scan  # noqa: PLC0415

    try:
        with progress_bars() as progress:
            result = run_scan(
                settings,
                build_definitions(settings, progress),
                None if folder is None else folder.absolute(),
                window,
                max_wait_seconds=max_wait,
                exchange=exchange,
                symbol=symbol,
                progress=progress,
            )
    except StaleCandles as error:
        echo_err(f"{error}{_as_of_advice(folder, error.as_of)}")
        raise typer.Exit(EXIT_WRONG_INPUT) from None
    except UnreadableCandles as error:
        echo_err(str(error))
        raise typer.Exit(EXIT_WRONG_INPUT) from None
    except ScanFailed as error:
        echo_err(f"the scan failed: {error}")
        raise typer.Exit(EXIT_UNEXPECTED) from None
    for note in result.notes:
        echo_err(note)
    return result


def _as_of_advice(folder: Path | None, as_of: str) -> str:
    """Return the advice to scan as of the newest bar, "" if `as_of` is empty."""
    if not as_of:
        return ""
    place = "" if folder is None else f" {shlex.quote(str(folder))}"
    return f". To scan as of that bar: {shlex.quote(sys.argv[0])} scan{place} --as-of {as_of}"


def _print_feed(feed: dict[str, Any], path: str) -> None:
    """Write a feed to stdout as JSON; exit if it cannot be written, since part of a feed is of no use."""
    try:
        with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as output:
            output.write(orjson.dumps(feed) + b"\n")
    except OSError as error:
        echo_err(f"stdout cannot be written ({error.strerror}); the feed is {path}")
        raise typer.Exit(EXIT_UNEXPECTED) from None


def print_result(
    feed: dict[str, Any], result: ScanResult, path: str, strategies: Sequence[Strategy], *, as_json: bool
) -> None:
    """Print the result of a scan, as tables or as JSON."""
    from quant_assets.cli.rendering import print_scan, print_scan_as_json  # noqa: PLC0415
    from quant_assets.signals import GateIndex  # noqa: PLC0415

    if as_json:
        print_scan_as_json(feed, path, result.api, result.elapsed_seconds)
    else:
        print_scan(feed, path, result.api, result.elapsed_seconds, GateIndex(strategies))
