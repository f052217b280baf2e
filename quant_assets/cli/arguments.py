"""Input of the command line: reading it, and refusing it with one line that says what to do."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer
from dotenv import load_dotenv

from quant_assets.common.settings import Settings, SettingsError
from quant_assets.common.text import escape_control_chars, is_utf8
from quant_assets.common.windows import FIRST_WINDOW, LENGTH, Window, WindowError, parse_moment

WRONG_INPUT: Final = 2
Json = Annotated[bool, typer.Option("--json", help="Print a summary as JSON on stdout, and nothing else there.")]
Folder = Annotated[Path, typer.Argument(help="Folder of candle files named EXCHANGE_SYMBOL_TIMEFRAME.json.")]
MAX_NEAR_NAMES: Final = 5


def read_settings(*, fetches: bool) -> Settings:
    """Read the environment and .env for a data folder; ends the program where a variable cannot be used.

    `fetches` is whether the command may ask the provider, where there is a key.
    """
    from quant_assets.storage.origins import OriginError, settings_of_folder  # noqa: PLC0415

    settings = environment_of_command()
    try:
        return settings_of_folder(settings, os.environ, fetches=fetches)
    except OriginError as error:
        refuse(str(error))


def environment_of_command() -> Settings:
    """Read the environment and .env, whatever the data folder holds, and create nothing."""
    try:
        if Path(".env").is_file():
            load_dotenv(Path(".env"))
    except UnicodeDecodeError:
        refuse(".env is no UTF-8 text; write it anew, with lines such as COINALYZE_API_KEY=…")
    except OSError as error:
        refuse(f".env cannot be read ({error.strerror}); make it yours to read, or move it away")
    except ValueError:  # of a value that no environment holds; the error would show it
        refuse(".env holds a letter that no variable can; write it anew, with lines such as COINALYZE_API_KEY=…")
    try:
        settings = Settings.from_environment(os.environ)
    except SettingsError as error:
        refuse(str(error))
    try:
        os.scandir(settings.data_dir).close()
    except FileNotFoundError:
        pass  # a command that writes creates it
    except OSError as error:
        _refuse_data_folder(settings, error)
    return settings


def create_data_folder(settings: Settings) -> None:
    """Create the data folder where it is missing; ends the program where that cannot be."""
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _refuse_data_folder(settings, error)


def read_hours(text: str) -> float:
    """Read a length of time such as 24h; 0 for none."""
    if not text:
        return 0.0
    number = text.removesuffix("h")
    if not (number.isascii() and number.isdigit()) or not 1 <= int(number) <= 168:
        refuse(f"--simulate {text}: give hours from 1h to 168h")
    return float(number)


def read_window(as_of: str, option: str = "--as-of") -> Window:
    """Return the last window complete at a moment, now for none; ends the program for any other input."""
    now = datetime.now(UTC)
    if not as_of:
        return Window.last_complete(now)
    try:
        window = Window.last_complete(parse_moment(as_of))
    except WindowError as error:
        refuse(f"{option}: {error}")
    if window.end > now:
        refuse(f"{option} {as_of} lies in the future; the last complete window is {Window.last_complete(now).key}")
    first = Window.of_key(FIRST_WINDOW)
    if window < first:
        refuse(f"{option} {as_of} lies before the first window, which ends at {(first.start + LENGTH).isoformat()}")
    return window


def read_strategies(names: str) -> list[str]:
    """Return the names asked for, none for all; ends the program where one is unknown."""
    from quant_assets.signals import discover_strategies  # noqa: PLC0415

    discovered = discover_strategies()
    for problem in discovered.problems:
        say(problem)
    if names.strip().casefold() == "all":
        return []
    known = {name.casefold(): s.name for s in discovered.strategies for name in (s.name, s.key)}
    chosen = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in chosen if name.casefold() not in known]
    if unknown or not chosen:
        there = ", ".join(strategy.name for strategy in discovered.strategies)
        refuse(f"unknown strategy {', '.join(unknown) or repr(names)}; there are: {there}")
    return [known[name.casefold()] for name in chosen]


def check_folder(folder: Path, timeframes: Sequence[str] = ()) -> None:
    """End the program where a folder holds no candle file of one of the timeframes; none given means 15m and 4h."""
    from quant_assets.candles import STEP_MS, CandleFolderError, check_candle_folder  # noqa: PLC0415

    if not is_utf8(str(folder)):
        refuse(f"{folder} is no UTF-8, which the records of a scan need; rename the folder, or link to it")
    try:
        check_candle_folder(folder, timeframes or tuple(STEP_MS))
    except CandleFolderError as error:
        refuse(str(error))


def read_selection(folder: Path, settings: Settings, exchange: str, symbol: str) -> tuple[str, str]:
    """Return an exchange and a text of symbols in NFC, as `select_signals` takes them.

    Ends the program where no candle file is of that exchange with that text in its symbol. A display symbol counts in
    each way that a market list may decide for.
    """
    from quant_assets.candles import list_markets  # noqa: PLC0415
    from quant_assets.markets import rules_from, symbol_readings  # noqa: PLC0415
    from quant_assets.markets.rules import nfc  # noqa: PLC0415

    exchange, symbol = nfc(exchange), nfc(symbol)
    if not exchange and not symbol:
        return "", ""
    rules = rules_from(settings.rules_path)
    markets = list_markets(folder)
    there = [market for market in markets if not exchange or market[0].casefold() == exchange.casefold()]
    names = {name for _, name in there}
    names |= {reading.display for venue, name in there for reading in symbol_readings(name, venue, rules)}
    if not any(symbol.casefold() in name.casefold() for name in names):
        exchanges = sorted({venue for venue, _ in markets})
        options = (("--exchange", exchange), ("--symbol", symbol))
        given = " and ".join(f"{option} {text!r}" for option, text in options if text)
        near = _near(symbol, names) if there else _near(exchange, exchanges)
        suggestion = f"near: {', '.join(near)}; " if near else ""
        refuse(f"no candle file matches {given}; {suggestion}exchanges: {', '.join(exchanges)}")
    return exchange, symbol


def _near(text: str, names: Iterable[str]) -> list[str]:
    """Return at most five names that are like a text, without regard to case, the likest first."""
    written = {name.casefold(): name for name in sorted(names)}
    return [written[name] for name in get_close_matches(text.casefold(), written, n=MAX_NEAR_NAMES)]


def quiet_dagster() -> None:
    """Keep Dagster's notices about previews and betas off the terminal; runs and events are in its instance."""
    warnings.filterwarnings("ignore", module=r"dagster(\..*)?")
    logging.getLogger("dagster").setLevel(logging.CRITICAL)


def warn_without_key(settings: Settings) -> None:
    """Say what it means that there is no key, where there is none."""
    if not settings.has_key(os.environ):
        say(
            f"no API key: set {settings.key_variable}; nothing is asked for, "
            "and what is not known is neutral: open interest scores 10 of 20"
        )


def say(line: str) -> None:
    """Tell a person, on stderr; where nothing can be written there, the work is done all the same."""
    with suppress(OSError):
        print(escape_control_chars(line), file=sys.stderr, flush=True)


def refuse(line: str) -> NoReturn:
    """End the program for wrong input, with one line that says what to do."""
    say(line)
    raise typer.Exit(WRONG_INPUT)


def _refuse_data_folder(settings: Settings, error: OSError) -> NoReturn:
    refuse(f"QUANT_DATA_DIR: {settings.data_dir} cannot be used as a folder: {error.strerror}")


def check_files(settings: Settings) -> None:
    """End the program where the user's changes to rules, policy, retention or strategies cannot be used."""
    from quant_assets.derivatives.policy import PolicyError, load_policy  # noqa: PLC0415
    from quant_assets.markets import RulesError, rules_from  # noqa: PLC0415
    from quant_assets.signals import ParametersError, discover_strategies, with_parameters  # noqa: PLC0415
    from quant_assets.storage.retention import RetentionError, load_retention  # noqa: PLC0415

    try:
        load_policy(settings.policy_path)
        rules_from(settings.rules_path)
        load_retention(settings.retention_path)
        with_parameters(discover_strategies().strategies, settings.strategies_path)
    except (PolicyError, RulesError, RetentionError, ParametersError) as error:
        refuse(str(error))
