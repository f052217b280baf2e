"""The commands of the simulated market: `quant-assets demo`, and `quant-assets emulator` that lets it go on."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from quant_assets.cli.arguments import Json, check_folder, create_data_folder, environment_of_command, refuse, say
from quant_assets.cli.interrupts import INTERRUPTED
from quant_assets.cli.scan import run, show
from quant_assets.common.settings import LOOPBACK_ORIGIN, Settings
from quant_assets.common.windows import Window

DEMO_CALLS_PER_MINUTE = 6000
DEMO_KEY_VARIABLE = "QUANT_ASSETS_DEMO_KEY"


def demo(as_json: Json = False) -> None:
    """Scan a simulated market: no key, no network, nothing to prepare."""
    from pydantic import SecretStr  # noqa: PLC0415

    from quant_assets.cli.rendering import shown_progress  # noqa: PLC0415
    from quant_assets.emulator import DEFAULT_KEY, Emulator, simulated_universe, write_candle_files  # noqa: PLC0415

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
        result = run(settings, folder / "candles", Window.last_complete(now), 50.0, "", "")
    show(result.feed, result, result.feed_path, as_json=as_json)
    say(f"a simulated market, nothing of it was ever traded; {time.monotonic() - started:.1f} s in all")
    say(f"its dashboard: QUANT_DATA_DIR={shlex.quote(str(folder))} {shlex.quote(sys.argv[0])} serve")


def emulator(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 for any free one.")] = 8899,
    calls_per_minute: Annotated[int, typer.Option(min=1, help="The limit, each symbol counted.")] = 40,
    candles: Annotated[
        Path | None, typer.Option(help="Build the market from these candle files instead of simulating one.")
    ] = None,
) -> None:
    """Serve a local Coinalyze until interrupted: for trying things out without a key.

    While it runs, the candle files of the demo, where there are any, are kept up to date.
    """
    from quant_assets.emulator import DEFAULT_KEY, run_emulator  # noqa: PLC0415

    folder = None
    if candles is not None:
        check_folder(candles, ["15m"])
    else:
        folder = demo_folder(environment_of_command())

    def tell(url: str) -> None:
        say("a local Coinalyze with made-up data; in another terminal:")
        variables = {
            "COINALYZE_BASE_URL": url,
            "COINALYZE_API_KEY": DEFAULT_KEY,
            "COINALYZE_CALLS_PER_MINUTE": str(calls_per_minute),
            **({} if folder is None else {"QUANT_DATA_DIR": str(folder)}),
        }
        print("export", *(f"{name}={shlex.quote(value)}" for name, value in variables.items()), flush=True)
        if folder is not None:
            say(f"the candles of the demo, {folder / 'candles'}, go on after each quarter hour while this runs")

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
            update_candles=None if folder is None else folder / "candles",
            on_ready=tell,
            on_error=lambda error: say(f"{error}; tried again at the next quarter hour"),
        )
    except OSError as error:
        refuse(f"port {port} cannot be used: {error.strerror}; choose another with --port")
    say("stopped")
    if ended_by == signal.SIGINT:
        raise typer.Exit(INTERRUPTED)


def demo_folder(settings: Settings) -> Path | None:
    """Return the data folder of the demo: below the data folder or that folder itself; None where there is none.

    It is known by the marker of its candle files, and holds data of a local Coinalyze alone.
    """
    from quant_assets.emulator import MARKER  # noqa: PLC0415
    from quant_assets.storage.origins import OriginError, recorded_origin  # noqa: PLC0415

    for folder in (settings.data_dir / "demo", settings.data_dir):
        if (folder / "candles" / MARKER).is_file():
            try:
                origin = recorded_origin(Settings(data_dir=folder))
            except OriginError as error:
                refuse(str(error))
            return folder if origin in (None, LOOPBACK_ORIGIN) else None
    return None
