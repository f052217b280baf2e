"""The command line: `quant-assets demo | scan | resolve | emulator`.

Here: arguments, exit codes and what is printed where. Results go to stdout, everything else to stderr. Not here:
the work; each command checks its input, calls it, and shows what came of it.

Exit codes: 0 done; 1 unexpected; 2 wrong usage or input; 3 the feed was written, but the key was refused.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import orjson
import typer
from dotenv import load_dotenv

from quant_assets.settings import Settings, SettingsError
from quant_assets.windows import LENGTH, Window, WindowError, parse_moment

if TYPE_CHECKING:
    from quant_assets.scan import ScanResult

WRONG_INPUT = 2
KEY_REFUSED = 3
DEMO_CALLS_PER_MINUTE = 6000
DEMO_KEY_VARIABLE = "QUANT_ASSETS_DEMO_KEY"

app = typer.Typer(
    name="quant-assets",
    help="Scored trading signals for crypto perpetuals, from candles and Coinalyze data, through Dagster.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

Json = Annotated[bool, typer.Option("--json", help="Print a summary as JSON on stdout, and nothing else there.")]
Folder = Annotated[Path, typer.Argument(help="Folder of candle files named EXCHANGE_SYMBOL_TIMEFRAME.json.")]


@app.command()
def scan(
    folder: Folder,
    strategy: Annotated[str, typer.Option(help="Strategies to show: all, or names separated by commas.")] = "all",
    as_of: Annotated[str, typer.Option(help="Scan the last window complete at this moment, ISO 8601.")] = "",
    output: Annotated[Path | None, typer.Option(help="Write the feed to this file too.")] = None,
    max_wait: Annotated[float, typer.Option(min=0, help="Seconds to spend on refreshing before the feed.")] = 120.0,
    symbol: Annotated[str, typer.Option(help="Refresh and show only symbols that contain this text.")] = "",
    exchange: Annotated[str, typer.Option(help="Refresh and show only this exchange.")] = "",
    as_json: Json = False,
) -> None:
    """Scan a folder of candles: refresh what is due, analyse every market, write the master feed.

    The master feed always holds every market and strategy. With --strategy, --symbol or --exchange the selection
    is written beside it, or to --output.
    """
    settings = _settings()
    window = _window(as_of)
    strategies = _chosen_strategies(strategy)
    _check_folder(folder)
    if output is not None and (output.is_dir() or not output.absolute().parent.is_dir()):
        _refuse(f"--output {output} is no file in a folder that exists")
    if not settings.has_key(os.environ):
        _say(f"no API key: set {settings.key_variable}; derivatives are neutral, open interest scores 10 of 20")
    result = _run(settings, folder, window, max_wait, exchange, symbol)
    narrowed = bool(strategies or symbol or exchange)
    feed, path = result.feed, result.feed_path
    if narrowed:
        from quant_assets.feed import select_signals  # noqa: PLC0415

        feed = select_signals(feed, strategies=strategies, exchange=exchange, symbol=symbol)
        path = settings.data_dir / "selection.json"
    if output is not None or narrowed:
        from quant_assets.files import replace_file  # noqa: PLC0415

        path = output.absolute() if output is not None else path
        replace_file(path, orjson.dumps(feed))
    if not result.published:
        _say(f"{settings.feed_path} holds a newer window and stays; this one is {result.feed_path}")
    _show(feed, result, path, as_json=as_json)
    if result.key_refused:
        raise typer.Exit(KEY_REFUSED)


@app.command()
def demo(as_json: Json = False) -> None:
    """Scan a simulated market: no key, no network, nothing to prepare."""
    from pydantic import SecretStr  # noqa: PLC0415

    from quant_assets.emulator import DEFAULT_KEY, Emulator, simulated_universe, write_candle_files  # noqa: PLC0415
    from quant_assets.terminal import shown_progress  # noqa: PLC0415

    started = time.monotonic()
    folder = _settings().data_dir / "demo"
    os.environ[DEMO_KEY_VARIABLE] = SecretStr(DEFAULT_KEY).get_secret_value()
    os.environ["DAGSTER_HOME"] = str(folder / "dagster")
    universe = simulated_universe()
    now = datetime.now(UTC)
    with shown_progress() as progress:
        write_candle_files(
            universe, folder / "candles", now, lambda stage, *rest: progress("simulate", *rest) if stage else None
        )
    with Emulator(universe, calls_per_minute=DEMO_CALLS_PER_MINUTE) as emulator:
        settings = Settings(
            base_url=emulator.url,
            calls_per_minute=DEMO_CALLS_PER_MINUTE,
            key_variable=DEMO_KEY_VARIABLE,
            data_dir=folder,
            candles_dir=folder / "candles",
        )
        result = _run(settings, folder / "candles", Window.last_complete(now), 50.0, "", "")
    _show(result.feed, result, result.feed_path, as_json=as_json)
    _say(f"a simulated market, nothing of it was ever traded; {time.monotonic() - started:.1f} s in all")


@app.command()
def resolve(
    symbol: Annotated[str, typer.Argument(help="Symbol as the exchange and the candle files write it.")],
    exchange: Annotated[str, typer.Argument(help="Exchange as the candle files write it.")],
    as_json: Json = False,
) -> None:
    """Show which Coinalyze symbols serve one market: its row of the symbol map."""
    import pandas as pd  # noqa: PLC0415

    from quant_assets.definitions import build_definitions  # noqa: PLC0415
    from quant_assets.lake import Lake  # noqa: PLC0415
    from quant_assets.markets import ResolutionRules, RulesError, load_rules, resolve_markets  # noqa: PLC0415
    from quant_assets.scan import fetch_market_list_if_due, open_instance  # noqa: PLC0415

    if not symbol.strip() or not exchange.strip():
        _refuse("a market has a symbol and an exchange, such as: quant-assets resolve BTCUSDT BINANCE")
    settings = _settings()
    _quiet_dagster()
    with open_instance(settings) as instance:
        listed = fetch_market_list_if_due(settings, build_definitions(settings), instance)
    if listed.problem:
        _say(listed.problem)
    market_list = Lake(settings.lake_dir).read(["coinalyze_markets"])
    try:
        rules = load_rules(settings.rules_path) if settings.rules_path.exists() else ResolutionRules()
    except RulesError as error:
        _refuse(str(error))
    market = pd.DataFrame({"exchange": [exchange], "symbol": [symbol]})
    row = resolve_markets(market, market_list, now=datetime.now(UTC), rules=rules).iloc[0]
    if as_json:
        print(orjson.dumps({name: _native(value) for name, value in row.items()}, option=orjson.OPT_INDENT_2).decode())
        return
    for name, value in row.items():
        print(f"{name:>28}  {_native(value) if _native(value) not in ('', None) else '–'}")


@app.command()
def emulator(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 for any free one.")] = 8899,
    calls_per_minute: Annotated[int, typer.Option(min=1, help="The limit, each symbol counted.")] = 40,
    candles: Annotated[
        Path | None, typer.Option(help="Build the market from these candle files instead of simulating one.")
    ] = None,
) -> None:
    """Serve a local Coinalyze until interrupted: for trying things out without a key."""
    from quant_assets.emulator import DEFAULT_KEY, run_emulator  # noqa: PLC0415

    if candles is not None:
        _check_folder(candles)

    def tell(url: str) -> None:
        _say("a local Coinalyze with made-up data; in another terminal:")
        print(f"export COINALYZE_BASE_URL={url} COINALYZE_API_KEY={DEFAULT_KEY}", end=" ")
        print(f"COINALYZE_CALLS_PER_MINUTE={calls_per_minute}", flush=True)

    # A service manager ends a program with SIGTERM: the same as an interrupt.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run_emulator(port, calls_per_minute, candles, on_ready=tell)
    except OSError as error:
        _refuse(f"port {port} cannot be used: {error.strerror}; choose another with --port")


def main() -> None:
    """Run the command line."""
    app()


def _run(settings: Settings, folder: Path, window: Window, max_wait: float, exchange: str, symbol: str) -> ScanResult:
    """Run a scan with its progress shown; a failed run ends the program with the step's message."""
    from quant_assets.terminal import shown_progress  # noqa: PLC0415

    _quiet_dagster()
    from quant_assets.scan import ScanFailed, run_scan  # noqa: PLC0415

    try:
        with shown_progress() as progress:
            result = run_scan(
                settings,
                folder.absolute(),
                window,
                max_wait_seconds=max_wait,
                exchange=exchange,
                symbol=symbol,
                progress=progress,
            )
    except ScanFailed as error:
        _say(f"the scan failed: {error}")
        raise typer.Exit(1) from None
    for note in result.notes:
        _say(note)
    return result


def _show(feed: dict[str, Any], result: ScanResult, path: Path, *, as_json: bool) -> None:
    """Print the summary, or the table of the best signals."""
    stats = feed["stats"]
    if as_json:
        summary = {
            "feed": str(path),
            "window": feed["window"],
            "as_of": feed["as_of"],
            **{name: stats[name] for name in ("markets", "signals", "skipped", "resolution", "actions")},
            "api": result.api,
            "simulated": feed["simulated"],
            "elapsed_seconds": round(result.elapsed_seconds, 3),
        }
        print(orjson.dumps(summary, option=orjson.OPT_INDENT_2).decode())
        return
    from rich.console import Console  # noqa: PLC0415

    from quant_assets.terminal import account_lines, signals_table  # noqa: PLC0415

    console = Console(soft_wrap=False, width=None if sys.stdout.isatty() else 160)
    console.print(signals_table(feed, 15))
    for line in account_lines(feed, result.api, result.elapsed_seconds):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print(f"feed: {path}", markup=False, highlight=False, soft_wrap=True)


def _settings() -> Settings:
    load_dotenv(Path(".env"))
    try:
        return Settings.from_environment(os.environ)
    except SettingsError as error:
        _refuse(str(error))


def _window(as_of: str) -> Window:
    from quant_assets.defs.partitions import FIRST_WINDOW  # noqa: PLC0415

    now = datetime.now(UTC)
    if not as_of:
        return Window.last_complete(now)
    try:
        window = Window.last_complete(parse_moment(as_of))
    except WindowError as error:
        _refuse(f"--as-of: {error}")
    if window.end > now:
        _refuse(f"--as-of {as_of} lies in the future; the last complete window is {Window.last_complete(now).key}")
    first = Window.of_key(FIRST_WINDOW)
    if window < first:
        _refuse(f"--as-of {as_of} lies before the first window, which ends at {(first.start + LENGTH).isoformat()}")
    return window


def _chosen_strategies(names: str) -> list[str]:
    """Return the names asked for, none for all; ends the program where one is unknown."""
    from quant_assets.signals import discover_strategies  # noqa: PLC0415

    discovered = discover_strategies()
    for problem in discovered.problems:
        _say(problem)
    if names.strip().casefold() == "all":
        return []
    known = {name.casefold(): s.name for s in discovered.strategies for name in (s.name, s.key)}
    chosen = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in chosen if name.casefold() not in known]
    if unknown or not chosen:
        there = ", ".join(strategy.name for strategy in discovered.strategies)
        _refuse(f"unknown strategy {', '.join(unknown) or repr(names)}; there are: {there}")
    return [known[name.casefold()] for name in chosen]


def _check_folder(folder: Path) -> None:
    from quant_assets.markets import CandleFolderError, check_candle_folder  # noqa: PLC0415

    try:
        check_candle_folder(folder)
    except CandleFolderError as error:
        _refuse(str(error))


def _quiet_dagster() -> None:
    """Keep Dagster's notices about previews and betas off the terminal; runs and events are in its instance."""
    import logging  # noqa: PLC0415

    warnings.filterwarnings("ignore", module=r"dagster(\..*)?")
    logging.getLogger("dagster").setLevel(logging.CRITICAL)


def _native(value: Any) -> Any:
    """Return a value of a table as plain Python, NaN as None."""
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and value != value else value  # noqa: PLR0124


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def _refuse(line: str) -> NoReturn:
    """End the program for wrong input, with one line that says what to do."""
    _say(line)
    raise typer.Exit(WRONG_INPUT)
