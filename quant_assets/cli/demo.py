"""The command `quant-assets demo`."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from quant_assets.cli.arguments import Json
from quant_assets.cli.environment import (
    check_config_files,
    create_data_folder,
    settings_from_environment,
    silence_dagster,
)
from quant_assets.cli.errors import echo_err
from quant_assets.cli.fetch import fetch_and_report
from quant_assets.cli.scan import print_result, run_and_report
from quant_assets.common.settings import Settings
from quant_assets.common.windows import Window

DEMO_CALLS_PER_MINUTE = 6000
#: Markets of each exchange and days of history: what a scan needs, within what Hyperliquid allows in a minute.
DEMO_TOP, DEMO_DAYS = 12, 20.0
DEMO_KEY_VARIABLE = "QUANT_ASSETS_DEMO_KEY"


def demo(as_json: Json = False) -> None:
    """Fetch and scan a simulated market from local exchanges: no key, no network, nothing to prepare."""
    from pydantic import SecretStr  # noqa: PLC0415

    from quant_assets.emulator import DEFAULT_KEY  # noqa: PLC0415
    from quant_assets.emulator.market_process import start_market  # noqa: PLC0415

    started = time.monotonic()
    settings = settings_from_environment()
    create_data_folder(settings)
    folder = settings.data_dir / "demo"
    os.environ[DEMO_KEY_VARIABLE] = SecretStr(DEFAULT_KEY).get_secret_value()
    os.environ["DAGSTER_HOME"] = str(folder / "dagster")
    with start_market(DEMO_CALLS_PER_MINUTE) as market_urls:
        silence_dagster()
        import quant_assets.definitions  # noqa: F401, PLC0415 - takes the seconds in which the market starts

        urls = market_urls()
        settings = Settings(
            base_url=urls.coinalyze,
            calls_per_minute=DEMO_CALLS_PER_MINUTE,
            key_variable=DEMO_KEY_VARIABLE,
            data_dir=folder,
            candles_dir=folder / "candles",
            exchange_urls=urls.exchanges,
            strategies_dir=settings.strategies_dir,
        )
        configured = check_config_files(settings)
        _fetch(settings, list(urls.exchanges))
        result = run_and_report(settings, None, Window.last_complete(datetime.now(UTC)), 50.0, "", "")
    print_result(result.feed, result, result.feed_path, configured, as_json=as_json)
    echo_err(f"this market is simulated: nothing here was ever traded; {time.monotonic() - started:.1f} s in all")
    echo_err(f"to see its dashboard: QUANT_DATA_DIR={shlex.quote(str(folder))} {shlex.quote(sys.argv[0])} serve")


def _fetch(settings: Settings, exchanges: Sequence[str]) -> None:
    """Fetch all markets of the local exchanges, unless exchanges.toml of an earlier demo says otherwise."""
    from quant_assets.candles.exchanges.config import write_exchanges  # noqa: PLC0415
    from quant_assets.orchestration.fetch import FetchChoice  # noqa: PLC0415

    if not settings.exchanges_path.exists():
        write_exchanges(settings.exchanges_path, exchanges, DEMO_TOP, DEMO_DAYS, min_quote_volume_24h=0)
    fetch_and_report(settings, FetchChoice())
