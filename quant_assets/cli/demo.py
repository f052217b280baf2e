"""The command `quant-assets demo`."""

from __future__ import annotations

import os
import shlex
import sys
import time
from datetime import UTC, datetime

from quant_assets.cli.arguments import Json
from quant_assets.cli.environment import check_config_files, create_data_folder, settings_from_environment
from quant_assets.cli.errors import echo_err
from quant_assets.cli.scan import print_result, run_and_report
from quant_assets.common.settings import Settings
from quant_assets.common.windows import Window

DEMO_CALLS_PER_MINUTE = 6000
DEMO_KEY_VARIABLE = "QUANT_ASSETS_DEMO_KEY"


def demo(as_json: Json = False) -> None:
    """Scan a simulated market: no key, no network, nothing to prepare."""
    from pydantic import SecretStr  # noqa: PLC0415

    from quant_assets.cli.rendering import progress_bars  # noqa: PLC0415
    from quant_assets.emulator import DEFAULT_KEY, Emulator, simulated_universe, write_candle_files  # noqa: PLC0415

    started = time.monotonic()
    settings = settings_from_environment()
    create_data_folder(settings)
    folder = settings.data_dir / "demo"
    os.environ[DEMO_KEY_VARIABLE] = SecretStr(DEFAULT_KEY).get_secret_value()
    os.environ["DAGSTER_HOME"] = str(folder / "dagster")
    universe = simulated_universe()
    now = datetime.now(UTC)
    with progress_bars() as progress:
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
        configured = check_config_files(settings)
        result = run_and_report(settings, folder / "candles", Window.last_complete(now), 50.0, "", "")
    print_result(result.feed, result, result.feed_path, configured, as_json=as_json)
    echo_err(f"this market is simulated: nothing here was ever traded; {time.monotonic() - started:.1f} s in all")
    echo_err(f"to see its dashboard: QUANT_DATA_DIR={shlex.quote(str(folder))} {shlex.quote(sys.argv[0])} serve")
