"""Trades in a data folder, for tests of the record."""

from __future__ import annotations

from typing import Any

import pandas as pd

from quant_assets.common.settings import Settings
from quant_assets.common.windows import Window
from quant_assets.evaluation.trade_table import TRADES, empty_trades
from quant_assets.storage.lake import Lake
from quant_assets_tests.evaluation.made_trades import made_trades


def write_trades(settings: Settings, trades: pd.DataFrame) -> None:
    """Write the table of trades of a data folder."""
    Lake(settings.lake_dir).write(TRADES, None, trades)


def trade_of(signal: dict[str, Any], window: Window, **values: Any) -> pd.DataFrame:
    """Return one mature trade that follows a signal, with other values of columns."""
    row = made_trades(1, window).iloc[0].to_dict() | {
        "strategy": signal["strategy_name"],
        "exchange": signal["exchange"],
        "symbol": signal["symbol"],
        "side": signal["action"],
        "window": window.key,
        "entry_ms": window.end_ms,
        "entry": signal["price"],
        "exit": signal["price"] * 1.1,
        "exit_ms": window.end_ms + 3_600_000,
        "outcome": "target",
        "net_r": 1.85,
        **values,
    }
    return pd.DataFrame([row]).astype(empty_trades().dtypes.to_dict())
