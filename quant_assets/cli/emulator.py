"""The command `quant-assets emulator`."""

from __future__ import annotations

import json
import shlex
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from quant_assets.cli.arguments import check_candle_files
from quant_assets.cli.environment import settings_from_environment
from quant_assets.cli.errors import EXIT_INTERRUPTED, echo_err, usage_error
from quant_assets.common.settings import LOOPBACK_ORIGIN, Settings

MAX_PORT = 65_535
#: The exchanges listen on the ports after that of the local Coinalyze.
EXCHANGE_PORTS = 8


def emulator(
    port: Annotated[int, typer.Option(min=0, max=MAX_PORT, help="Port on 127.0.0.1; 0 for any free one.")] = 8899,
    calls_per_minute: Annotated[int, typer.Option(min=1, help="Call limit; each symbol counts as a call.")] = 40,
    candles: Annotated[
        Path | None, typer.Option(help="Build the market from these candle files instead of simulating one.")
    ] = None,
    exchanges: Annotated[
        bool,
        typer.Option("--exchanges", help="Serve local exchanges too, on the eight ports after --port."),
    ] = False,
) -> None:
    """Serve a local Coinalyze until interrupted: for trying things out without a key."""
    from quant_assets.emulator import DEFAULT_KEY, run_emulator  # noqa: PLC0415

    if exchanges and port > MAX_PORT - EXCHANGE_PORTS:
        usage_error(
            f"port {port} leaves no room for {EXCHANGE_PORTS} exchanges; choose at most {MAX_PORT - EXCHANGE_PORTS}"
        )
    folder = None
    if candles is not None:
        check_candle_files(candles, ["15m"])
    else:
        folder = demo_folder(settings_from_environment())

    def announce(url: str, exchange_urls: Mapping[str, str]) -> None:
        served = f"a local Coinalyze and {len(exchange_urls)} exchanges" if exchange_urls else "a local Coinalyze"
        echo_err(f"{served} with made-up data; to use {'them' if exchange_urls else 'it'}, run in another terminal:")
        variables = {
            "COINALYZE_BASE_URL": url,
            "COINALYZE_API_KEY": DEFAULT_KEY,
            "COINALYZE_CALLS_PER_MINUTE": str(calls_per_minute),
            **({"QUANT_EXCHANGE_URLS": json.dumps(exchange_urls)} if exchange_urls else {}),
            **({} if folder is None else {"QUANT_DATA_DIR": str(folder)}),
        }
        print("export", *(f"{name}={shlex.quote(value)}" for name, value in variables.items()), flush=True)
        if folder is not None and not exchange_urls:
            echo_err("the demo's candles come from local exchanges: serve them too with --exchanges")

    ended_by = 0

    def stop(number: int, _: object) -> NoReturn:
        nonlocal ended_by
        ended_by = number
        raise KeyboardInterrupt

    # A service manager ends a program with SIGTERM, a person with SIGINT.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    try:
        run_emulator(
            port,
            calls_per_minute,
            candles,
            exchanges=exchanges,
            on_ready=announce,
        )
    except OSError as error:
        ports = f"one of the ports {port} to {port + EXCHANGE_PORTS}" if exchanges and port else f"port {port}"
        usage_error(f"{ports} cannot be used: {error.strerror}; choose another with --port")
    echo_err("stopped")
    if ended_by == signal.SIGINT:
        raise typer.Exit(EXIT_INTERRUPTED)


def demo_folder(settings: Settings) -> Path | None:
    """Return the data folder of the demo: `demo` in the data folder or the data folder itself.

    Return None if there is none, or if it has data that do not come from an emulator.
    """
    from quant_assets.storage.origins import OriginError, recorded_origins  # noqa: PLC0415

    for folder in (settings.data_dir / "demo", settings.data_dir):
        try:
            of_folder = settings.model_copy(update={"data_dir": folder, "database_url": None})
            origins = set(recorded_origins(of_folder).values())
        except OriginError as error:
            usage_error(str(error))
        if origins:
            return folder if origins == {LOOPBACK_ORIGIN} else None
    return None
