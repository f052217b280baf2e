"""A program that refreshes plain markets until all items are known, for tests that time or kill it.

Usage: python -m quant_assets_tests.derivatives.sweep URL FOLDER MARKETS CALLS_PER_MINUTE WINDOW

The monotonic clock is ahead by SECONDS_LATER, so that a test need not wait until the claims of a killed program end.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pandas as pd
from pydantic import SecretStr

from quant_assets.common.windows import Window
from quant_assets.derivatives.datasets import ENTRIES
from quant_assets.derivatives.refresh import Refresh
from quant_assets.derivatives.refresh_options import RefreshOptions
from quant_assets.derivatives.store import DerivativesStore
from quant_assets.emulator import DEFAULT_KEY, plain_universe
from quant_assets.markets import market_list_table, resolve_markets
from quant_assets.providers.budget import CallBudget
from quant_assets.providers.coinalyze.client import CoinalyzeClient


def main() -> None:
    url, folder, markets, calls_per_minute, window = sys.argv[1:]
    rows = plain_universe(int(markets)).rows
    now = datetime.now(UTC)
    market_list = market_list_table([("A", "Binance")], [row.body() for row in rows], now)
    listed = pd.DataFrame({"exchange": "BINANCE", "symbol": [row.symbol_on_exchange for row in rows]})

    def resolve(empty: Mapping[str, set[str]]) -> pd.DataFrame:
        return resolve_markets(listed, market_list, datasets=ENTRIES, now=now, empty=empty)

    with (
        closing(CallBudget(Path(folder) / "budget.sqlite", int(calls_per_minute))) as budget,
        closing(CoinalyzeClient(SecretStr(DEFAULT_KEY), url, budget)) as client,
        closing(DerivativesStore(Path(folder) / "derivatives.sqlite")) as store,
    ):
        _, report = Refresh(store, client, resolve, RefreshOptions(Window.of_key(window), since_ms=0.0)).run()
    print(orjson.dumps(report.as_dict()).decode())


if __name__ == "__main__":
    main()
