"""Detection of candles that are too old for a window."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

import pandas as pd

from quant_assets.common.timeframes import HTF
from quant_assets.common.windows import FIRST_WINDOW, Window
from quant_assets.signals.features.candle_features import MAX_AGE_MS
from quant_assets.signals.reasons import STALE_CANDLES


class StaleCandles(NamedTuple):
    """A message about candles that are too old, and a time (ISO 8601) that they are fresh enough for, or ""."""

    message: str
    as_of: str


def stale_candles(features: pd.DataFrame, window: Window) -> StaleCandles | None:
    """Return a message if all usable markets of a table of features have stale candles, else None.

    `features` may be the candle features alone.
    """
    unusable = features["unusable"]
    if not (unusable == STALE_CANDLES).any() or (unusable == "").any():
        return None
    message = f"no candle is as new as the window {window.key}"
    newest = _newest_close(features[unusable == STALE_CANDLES])
    if newest is None:
        return StaleCandles(message, "")
    as_of = f"{newest:%Y-%m-%dT%H:%M:%SZ}" if Window.last_complete(newest) >= Window.of_key(FIRST_WINDOW) else ""
    return StaleCandles(f"{message}: the newest bar closed at {newest:%Y-%m-%d %H:%M} UTC", as_of)


def _newest_close(stale: pd.DataFrame) -> datetime | None:
    """Return the newest close of a 15m bar, preferably of a market whose 4h bars are fresh at that time."""
    closed_ms: pd.Series[Any] = stale["ltf_closed_at_ms"]
    is_htf_fresh = stale["htf_closed_at_ms"] >= closed_ms - MAX_AGE_MS[HTF]
    newest_ms = closed_ms[is_htf_fresh].max() if is_htf_fresh.any() else closed_ms.max()
    return None if pd.isna(newest_ms) else datetime.fromtimestamp(newest_ms / 1000, UTC)
