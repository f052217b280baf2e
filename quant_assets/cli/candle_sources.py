"""Where a scan gets its candles from: a folder, or the exchanges that are chosen."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from quant_assets.cli.arguments import check_candle_files
from quant_assets.cli.environment import create_data_folder
from quant_assets.cli.errors import EXIT_UNEXPECTED, echo_err, usage_error
from quant_assets.cli.fetch import ask_for_exchanges, fetch_and_report, load_choice
from quant_assets.common.settings import Settings
from quant_assets.common.windows import FIRST_WINDOW, Window

if TYPE_CHECKING:
    import pandas as pd

    from quant_assets.candles import CandleTables

#: A fetch takes so long at least, whatever time a scan has: the new bars are what a scan is for.
MIN_FETCH_SECONDS: Final = 20.0


def prepare_candles(settings: Settings, folder: Path | None, max_wait: float) -> float:
    """Check the candle files of a folder, or without one fetch the candles that are due, if exchanges are chosen.

    Return what is left of the seconds `max_wait`. Exit if there are no candles at all, or none could be fetched.
    """
    if folder is not None:
        check_candle_files(folder)
        return max_wait
    started = time.monotonic()
    _fetch_candles(settings, max_wait)
    return max(max_wait - (time.monotonic() - started), 0.0)


def _fetch_candles(settings: Settings, max_wait: float) -> None:
    from quant_assets.orchestration.exchange_source import bar_store, lists_are_due  # noqa: PLC0415
    from quant_assets.orchestration.fetch import FetchChoice  # noqa: PLC0415
    from quant_assets.storage.database_clock import clock_of  # noqa: PLC0415

    config = load_choice(settings)
    if not config.exchanges:
        if bar_store(settings).exchanges():
            return
        if settings.candle_folder.is_dir():
            check_candle_files(settings.candle_folder)
            return
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            usage_error(
                "there are no candles: fetch some with `quant-assets fetch --exchange NAME`, or give a folder of "
                "candle files: quant-assets scan DIR"
            )
        ask_for_exchanges(settings, config)
        config = load_choice(settings)
    create_data_folder(settings)
    fetch_and_report(
        settings,
        FetchChoice(max_wait_seconds=max(max_wait, MIN_FETCH_SECONDS)),
        lists=lists_are_due(settings, config, clock_of(settings).now()),
    )
    if not bar_store(settings).exchanges() and not settings.candle_folder.is_dir():
        echo_err(
            f"no candles could be fetched from {', '.join(config.exchanges)}, and none are stored; nothing was "
            "published. Scan again when the exchanges can be reached, or give a folder of candle files"
        )
        raise typer.Exit(EXIT_UNEXPECTED)


def check_stored_candles(settings: Settings, folder: Path | None) -> None:
    """Exit if there are no candles to replay: in `folder`, or without one in the bar store or the candle folder."""
    from quant_assets.orchestration.exchange_source import bar_store  # noqa: PLC0415

    if folder is not None:
        check_candle_files(folder)
    elif settings.candle_folder.is_dir():
        check_candle_files(settings.candle_folder)
    elif not bar_store(settings).exchanges():
        usage_error(
            f"Folder not found: {settings.candle_folder}, and no candles of exchanges are stored. Give a folder of "
            "candle files, set QUANT_CANDLES_DIR, or fetch candles"
        )


def known_markets(settings: Settings, folder: Path | None) -> list[tuple[str, str]]:
    """Return exchange and symbol of the markets with candles in a folder, or in every place without one."""
    from quant_assets.candles import list_markets  # noqa: PLC0415

    if folder is not None:
        return list_markets(folder)
    from quant_assets.orchestration.exchange_source import bar_store  # noqa: PLC0415

    store = bar_store(settings)
    stored = [(exchange, symbol) for exchange in store.exchanges() for symbol in store.last_times(exchange, "15m")]
    return stored + (list_markets(settings.candle_folder) if settings.candle_folder.is_dir() else [])


def read_history(settings: Settings, folder: Path | None, first: Window | None) -> pd.DataFrame:
    """Return the candles table of a folder, or of all stored bars of exchanges and the candle folder without one.

    Of stored bars, those before what the window `first` needs are left out; None takes all. Exit if no file of the
    folder can be read.
    """
    from quant_assets.candles.joined_tables import join_tables  # noqa: PLC0415

    if folder is not None:
        return _read_files(folder).bars
    from quant_assets.markets import load_rules  # noqa: PLC0415
    from quant_assets.orchestration.exchange_source import bar_store  # noqa: PLC0415
    from quant_assets.storage.database_clock import clock_of  # noqa: PLC0415

    begin = first or Window.of_key(FIRST_WINDOW)
    stored = bar_store(settings).for_windows(begin.end_ms, Window.last_complete(clock_of(settings).now()).end_ms)
    of_files = _read_files(settings.candle_folder) if settings.candle_folder.is_dir() else None
    rules = load_rules(settings.rules_path)
    return join_tables(of_files, stored, rules, files_are_simulated=False, simulated_exchanges=()).tables.bars


def _read_files(folder: Path) -> CandleTables:
    from quant_assets.candles import CandleFolderError, read_scannable_candles  # noqa: PLC0415

    try:
        return read_scannable_candles(folder)
    except CandleFolderError as error:
        usage_error(str(error))
