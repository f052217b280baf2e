"""The command `quant-assets resolve`."""

from __future__ import annotations

from typing import Annotated

import typer

from quant_assets.cli.arguments import Json
from quant_assets.cli.environment import check_config_files, load_settings, silence_dagster, warn_about_missing_key
from quant_assets.cli.errors import echo_err, usage_error


def resolve(
    symbol: Annotated[str, typer.Argument(help="Symbol as the exchange and the candle files write it.")],
    exchange: Annotated[str, typer.Argument(help="Exchange as the candle files write it.")],
    as_json: Json = False,
) -> None:
    """Show which symbols serve one market now: its row of the symbol map."""
    import pandas as pd  # noqa: PLC0415

    from quant_assets.cli.rendering import print_row, print_row_as_json  # noqa: PLC0415
    from quant_assets.definitions import build_definitions  # noqa: PLC0415
    from quant_assets.orchestration.symbol_map import current_symbol_map  # noqa: PLC0415
    from quant_assets.storage.database_clock import clock_of  # noqa: PLC0415

    if not symbol.strip() or not exchange.strip():
        usage_error("Symbol and exchange must not be empty, e.g. quant-assets resolve BTCUSDT BINANCE")
    settings = load_settings(fetches=True)
    check_config_files(settings)
    silence_dagster()
    market = pd.DataFrame({"exchange": [exchange], "symbol": [symbol]})
    symbol_map, problem = current_symbol_map(settings, build_definitions, market, clock_of(settings).now())
    warn_about_missing_key(settings)
    if problem:
        echo_err(problem)
    (print_row_as_json if as_json else print_row)(symbol_map.iloc[0])
