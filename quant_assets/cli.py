"""The command line: `quant-assets demo | scan | replay | plan | resolve | serve | emulator`.

Here: arguments, exit codes and what is printed where. Results go to stdout, everything else to stderr. Not here:
the work; each command checks its input, calls it, and shows what came of it.

Exit codes: 0 done; 1 unexpected; 2 wrong usage or input; 3 the feed was written, but the key was refused.
"""

from __future__ import annotations

import gc
import os
import shlex
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from quant_assets.arguments import (
    WRONG_INPUT,
    check_files,
    check_folder,
    create_data_folder,
    environment_of_command,
    quiet_dagster,
    read_hours,
    read_selection,
    read_settings,
    read_strategies,
    read_window,
    refuse,
    say,
    warn_without_key,
)
from quant_assets.replay_command import replay
from quant_assets.settings import Settings, SettingsError
from quant_assets.streams import make_streams_fit
from quant_assets.windows import Window

if TYPE_CHECKING:
    from quant_assets.scan import ScanResult

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
    settings = read_settings(fetches=True)
    window = read_window(as_of)
    strategies = read_strategies(strategy)
    check_folder(folder)
    check_files(settings)
    exchange, symbol = read_selection(folder, settings, exchange, symbol)
    if output is not None and ((output.exists() and not output.is_file()) or not output.absolute().parent.is_dir()):
        refuse(f"--output {output} is no file in a folder that exists")
    if output is not None and output.resolve() == settings.feed_path.resolve():
        refuse(f"--output {output} is the master feed itself, which every scan writes; name another file")
    create_data_folder(settings)
    warn_without_key(settings)
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
    if result.publication == "newer_window":
        say(
            f"{settings.feed_path} holds a newer window and stays; this one is {result.feed_path}, "
            f"`serve` has it under {feed['window']}, and --output writes it to a file"
        )
    if result.publication == "newer_candles":
        say(f"the feed of the window {feed['window']} was made from newer candles than these, and stays as it is")
    _show(feed, result, path, as_json=as_json)
    if result.key_refused:
        raise typer.Exit(KEY_REFUSED)


app.command()(replay)


@app.command()
def demo(as_json: Json = False) -> None:
    """Scan a simulated market: no key, no network, nothing to prepare."""
    from pydantic import SecretStr  # noqa: PLC0415

    from quant_assets.emulator import DEFAULT_KEY, Emulator, simulated_universe, write_candle_files  # noqa: PLC0415
    from quant_assets.terminal import shown_progress  # noqa: PLC0415

    started = time.monotonic()
    settings = environment_of_command()
    create_data_folder(settings)
    folder = settings.data_dir / "demo"
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
    say(f"a simulated market, nothing of it was ever traded; {time.monotonic() - started:.1f} s in all")
    say(f"its dashboard: QUANT_DATA_DIR={shlex.quote(str(folder))} {shlex.quote(sys.argv[0])} serve")


@app.command()
def plan(
    folder: Folder,
    simulated: Annotated[
        str, typer.Option("--simulate", help="Run the plan against a virtual clock for so long, such as 24h.")
    ] = "",
    plot: Annotated[Path | None, typer.Option(help="Draw the simulated ages into this HTML file.")] = None,
    as_json: Json = False,
) -> None:
    """Show what a refresh would cost now, and what ages the budget buys; spends no call but for a due market list."""
    settings = read_settings(fetches=True)
    check_folder(folder)
    check_files(settings)
    hours = read_hours(simulated or ("24h" if plot else ""))
    if plot is not None and (plot.suffix != ".html" or not plot.absolute().parent.is_dir()):
        refuse(f"--plot {plot}: name an .html file in a folder that exists")
    warn_without_key(settings)
    quiet_dagster()
    from quant_assets.planning import plan_refresh, simulate_refresh, simulation_account  # noqa: PLC0415
    from quant_assets.terminal import plan_lines, shown_progress  # noqa: PLC0415

    with shown_progress() as progress:
        now = datetime.now(UTC)
        planned = plan_refresh(settings, folder.absolute(), Window.last_complete(now), progress, now=now)
        account: dict[str, Any] = dict(planned.account)
        if hours and len(planned.items):
            ours, plain = simulate_refresh(planned, settings.calls_per_minute, hours, progress)
            account["simulation"] = {"planned": simulation_account(ours), "in_turn": simulation_account(plain)}
    for note in planned.notes:
        say(note)
    if hours and "simulation" not in account:
        say("no market is served by any symbol yet, so there is nothing to simulate or to draw")
    if plot is not None and "simulation" in account:
        from quant_assets.plots import ages_figure, write_figure  # noqa: PLC0415

        write_figure(ages_figure(ours, plain), plot.absolute())
    if as_json:
        print(orjson.dumps(account, option=orjson.OPT_INDENT_2).decode())
        return
    for line in plan_lines(account):
        print(line)
    if plot is not None and "simulation" in account:
        print(f"drawn: {plot.absolute()}")


@app.command()
def resolve(
    symbol: Annotated[str, typer.Argument(help="Symbol as the exchange and the candle files write it.")],
    exchange: Annotated[str, typer.Argument(help="Exchange as the candle files write it.")],
    as_json: Json = False,
) -> None:
    """Show which Coinalyze symbols serve one market now: its row of the symbol map."""
    import pandas as pd  # noqa: PLC0415

    from quant_assets.mapping import map_that_serves  # noqa: PLC0415
    from quant_assets.terminal import print_row, print_row_as_json  # noqa: PLC0415

    if not symbol.strip() or not exchange.strip():
        refuse("a market has a symbol and an exchange, such as: quant-assets resolve BTCUSDT BINANCE")
    settings = read_settings(fetches=True)
    check_files(settings)
    quiet_dagster()
    market = pd.DataFrame({"exchange": [exchange], "symbol": [symbol]})
    symbol_map, problem = map_that_serves(settings, market, datetime.now(UTC))
    warn_without_key(settings)
    if problem:
        say(problem)
    (print_row_as_json if as_json else print_row)(symbol_map.iloc[0])


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
        check_folder(candles, ["15m"])

    def tell(url: str) -> None:
        say("a local Coinalyze with made-up data; in another terminal:")
        print(f"export COINALYZE_BASE_URL={url} COINALYZE_API_KEY={DEFAULT_KEY}", end=" ")
        print(f"COINALYZE_CALLS_PER_MINUTE={calls_per_minute}", flush=True)

    # A service manager ends a program with SIGTERM: the same as an interrupt.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run_emulator(port, calls_per_minute, candles, on_ready=tell)
    except OSError as error:
        refuse(f"port {port} cannot be used: {error.strerror}; choose another with --port")


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for any free one.")] = 3000,
) -> None:
    """Serve the dashboard and its read-only API until interrupted."""
    from quant_assets.serving import serve_dashboard  # noqa: PLC0415

    serve_dashboard(host, port)


def main() -> None:
    """Run the command line."""
    make_streams_fit()
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


def _run(settings: Settings, folder: Path, window: Window, max_wait: float, exchange: str, symbol: str) -> ScanResult:
    """Run a scan with its progress shown; a failed run ends the program with the step's message."""
    from quant_assets.terminal import shown_progress  # noqa: PLC0415

    quiet_dagster()
    from quant_assets.scan import ScanFailed, StaleCandles, run_scan  # noqa: PLC0415

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
    except StaleCandles as error:
        say(f"{error}{_advice_of_moment(folder, error.as_of)}")
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


def _show(feed: dict[str, Any], result: ScanResult, path: Path, *, as_json: bool) -> None:
    """Print what came of a scan."""
    from quant_assets.terminal import print_scan, print_summary  # noqa: PLC0415

    (print_summary if as_json else print_scan)(feed, path, result.api, result.elapsed_seconds)
