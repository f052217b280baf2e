"""Arguments and options of commands: parse them, or exit with one line that says what to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Final

import typer

from quant_assets.cli.errors import echo_err, usage_error
from quant_assets.common.clock import SYSTEM, Clock
from quant_assets.common.settings import Settings
from quant_assets.common.text import is_utf8
from quant_assets.common.windows import FIRST_WINDOW, WINDOW_LENGTH, Window, WindowError, parse_timestamp

Json = Annotated[bool, typer.Option("--json", help="Print a summary as JSON on stdout, and nothing else there.")]
CandleFolder = Annotated[Path, typer.Argument(help="Folder of candle files named EXCHANGE_SYMBOL_TIMEFRAME.json.")]
MAX_SUGGESTIONS: Final = 5


def parse_hours(text: str) -> float:
    """Parse hours such as 24h; return 0 for an empty text, and exit for any other."""
    if not text:
        return 0.0
    number = text.removesuffix("h")
    if not (number.isascii() and number.isdigit()) or not 1 <= int(number) <= 168:
        usage_error(f"Invalid --simulate {text!r}: expected 1h to 168h, e.g. 24h")
    return float(number)


def parse_window(as_of: str, option: str = "--as-of", clock: Clock = SYSTEM) -> Window:
    """Return the last window that is complete at a timestamp, or now if it is empty; exit if it is invalid."""
    now = clock.now()
    if not as_of:
        return Window.last_complete(now)
    try:
        window = Window.last_complete(parse_timestamp(as_of))
    except WindowError as error:
        usage_error(f"{option}: {error}")
    if window.end > now:
        usage_error(f"{option} {as_of} is in the future; the last complete window is {Window.last_complete(now).key}")
    first = Window.of_key(FIRST_WINDOW)
    if window < first:
        first_end = (first.start + WINDOW_LENGTH).isoformat()
        usage_error(f"{option} {as_of} is before the end of the first window, {first_end}")
    return window


def parse_strategies(names: str, folder: Path | None = None) -> list[str]:
    """Return the names of the chosen strategies, an empty list for all; exit if a name is unknown.

    `folder` is the user's folder of strategies.
    """
    from quant_assets.derivatives.datasets import PROBLEMS  # noqa: PLC0415
    from quant_assets.providers.registry import PROBLEMS as PROVIDER_PROBLEMS  # noqa: PLC0415
    from quant_assets.signals import discover_strategies  # noqa: PLC0415

    discovered = discover_strategies(folder)
    for problem in (*PROVIDER_PROBLEMS, *PROBLEMS, *discovered.problems):
        echo_err(problem)
    if names.strip().casefold() == "all":
        return []
    known = {name.casefold(): s.name for s in discovered.strategies for name in (s.name, s.key)}
    chosen = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in chosen if name.casefold() not in known]
    if unknown or not chosen:
        available = ", ".join(strategy.name for strategy in discovered.strategies)
        usage_error(f"Unknown strategy {', '.join(unknown) or repr(names)}: expected {available}")
    return [known[name.casefold()] for name in chosen]


def check_candle_files(folder: Path, timeframes: Sequence[str] = ()) -> None:
    """Exit unless a folder has candle files of each timeframe, 15m and 4h by default."""
    from quant_assets.candles import CandleFolderError, check_candle_folder  # noqa: PLC0415
    from quant_assets.common.timeframes import STEP_MS  # noqa: PLC0415

    if not is_utf8(str(folder)):
        usage_error(f"{folder} is not valid UTF-8, which the records of a scan need; rename the folder, or link to it")
    try:
        check_candle_folder(folder, timeframes or tuple(STEP_MS))
    except CandleFolderError as error:
        usage_error(str(error))


def parse_selection(
    markets: Sequence[tuple[str, str]], settings: Settings, exchange: str, symbol: str
) -> tuple[str, str]:
    """Return --exchange and --symbol in Unicode NFC, as `select_signals` takes them; exit if no market matches.

    `markets` are exchange and symbol of those with candles. The text of --symbol may be part of a symbol, or of a
    display symbol that it may get.
    """
    from quant_assets.markets import load_rules, symbol_readings  # noqa: PLC0415
    from quant_assets.markets.rules import nfc  # noqa: PLC0415

    exchange, symbol = nfc(exchange), nfc(symbol)
    if not exchange and not symbol:
        return "", ""
    rules = load_rules(settings.rules_path)
    on_exchange = [market for market in markets if not exchange or market[0].casefold() == exchange.casefold()]
    names = {name for _, name in on_exchange}
    names |= {reading.display for key, name in on_exchange for reading in symbol_readings(name, key, rules)}
    if not any(symbol.casefold() in name.casefold() for name in names):
        exchanges = sorted({key for key, _ in markets})
        options = (("--exchange", exchange), ("--symbol", symbol))
        given = " and ".join(f"{option} {text!r}" for option, text in options if text)
        similar = _similar_names(symbol, names) if on_exchange else _similar_names(exchange, exchanges)
        suggestion = f"similar: {', '.join(similar)}; " if similar else ""
        usage_error(f"No market with candles matches {given}; {suggestion}exchanges: {', '.join(exchanges)}")
    return exchange, symbol


def _similar_names(text: str, names: Iterable[str]) -> list[str]:
    """Return up to five names that are similar to a text, ignoring case, the most similar first."""
    written = {name.casefold(): name for name in sorted(names)}
    return [written[name] for name in get_close_matches(text.casefold(), written, n=MAX_SUGGESTIONS)]
