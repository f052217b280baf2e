"""Building the master feed of a window: its signals in order, and its statistics."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import numpy as np
import pandas as pd

from quant_assets.common.windows import Window
from quant_assets.derivatives.datasets import ENTRIES
from quant_assets.evaluation import TrackRecord
from quant_assets.feed.conflicts import mark_conflicts
from quant_assets.feed.contract import SCHEMA_VERSION
from quant_assets.feed.market_blocks import Json, market_blocks
from quant_assets.feed.selection import count_by_name
from quant_assets.feed.signal import build_signal
from quant_assets.signals import MAX_OI_AGE_SECONDS, FeaturesCache, Strategy

#: Derivative data older than this are stale.
FRESH_SECONDS: Final = MAX_OI_AGE_SECONDS
#: A price of this age or more means that the window's last bar is missing.
OLD_PRICE_SECONDS: Final = 16 * 60


def build_feed(
    features: pd.DataFrame,
    signals: Mapping[Strategy, pd.DataFrame],
    candle_files: pd.DataFrame,
    window: Window,
    *,
    api: Mapping[str, Any] | None,
    written_at: datetime,
    published_at_ms: int | None = None,
    cache: FeaturesCache | None = None,
    track_record: pd.DataFrame | None = None,
) -> Json:
    """Return the master feed of a window.

    `features` and each signal table have one row per market, in the same order. `candle_files` has the skipped files,
    `api` the API usage of the window's refresh, None if there was none. `written_at` is timezone-aware;
    `published_at_ms` is when the window's first feed was written, None if this is the first. `cache` is that of the
    strategies, if any. `track_record` is the window's table of that name, None if there is none.
    """
    markets = (cache or FeaturesCache()).features_of(features)
    blocks = [market_blocks(market) for market in markets]
    record = TrackRecord.of(track_record)
    entries = [
        build_signal(strategy, market, row, shared, record)
        for strategy, table in signals.items()
        for market, row, shared in zip(markets, _records(table), blocks, strict=True)
    ]
    entries.sort(key=_order)
    mark_conflicts(entries)
    written_at_ms = int(written_at.timestamp() * 1000)
    newest_close_ms = features["ltf_closed_at_ms"].max()
    simulated = bool(candle_files["simulated"].any()) or any(market.simulated for market in markets)
    return {
        "last_updated": written_at_ms,
        "published_at_ms": written_at_ms if published_at_ms is None else published_at_ms,
        "schema_version": SCHEMA_VERSION,
        "as_of": window.end.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "window": window.key,
        "simulated": simulated,
        "stats": {
            "markets": len(markets),
            "signals": len(entries),
            "strategies": sorted(strategy.name for strategy in signals),
            "resolution": count_by_name(
                (market.oi_status for market in markets), ("resolved", "aggregated", "neutral")
            ),
            "actions": count_by_name((entry["action"] for entry in entries), ("LONG", "SHORT", "WAIT")),
            "api": {
                name: (api or {}).get(name, 0)
                for name in ("calls", "requests", "rate_limited", "cache_hits", "waited_seconds")
            },
            "freshness": {spec.name: _freshness(_ages(features, spec.age_column)) for spec in ENTRIES},
            "candles": {
                "newest_close_ms": None if pd.isna(newest_close_ms) else int(newest_close_ms),
                "held_back": int(candle_files["held_back"].sum()),
            },
            "skipped": _skipped(candle_files, features),
        },
        "signals": entries,
    }


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    columns = [str(name) for name in table.columns]
    return [dict(zip(columns, row, strict=True)) for row in table.itertuples(index=False, name=None)]


def _order(entry: Json) -> tuple[bool, float, str, str, str]:
    return (entry["action"] == "WAIT", -entry["score"], entry["exchange"], entry["symbol"], entry["strategy_name"])


def _ages(features: pd.DataFrame, column: str) -> pd.Series:
    """Return the ages of a dataset, all unknown in a table from before the dataset was added."""
    return features[column] if column in features else pd.Series(np.nan, index=features.index)


def _freshness(ages: pd.Series) -> Json:
    known = ages.dropna()
    return {
        "median_age_seconds": float(known.median()) if len(known) else None,
        "p95_age_seconds": float(known.quantile(0.95)) if len(known) else None,
        "fresh": int((known <= FRESH_SECONDS).sum()),
        "stale": int((known > FRESH_SECONDS).sum()),
        "missing": int(ages.isna().sum()),
    }


def _skipped(candle_files: pd.DataFrame, features: pd.DataFrame) -> dict[str, str]:
    """Return file → reason: files that could not be read, and files without a bar that closed by the window's end."""
    skipped = candle_files[candle_files["status"] == "skipped"]
    reasons = dict(zip(skipped["file"], skipped["reason"], strict=True))
    markets = set(zip(features["exchange"], features["symbol"], strict=True))
    read = candle_files[candle_files["status"] == "read"]
    for file, exchange, symbol in zip(read["file"], read["exchange"], read["symbol"], strict=True):
        if (exchange, symbol) not in markets:
            reasons[file] = "no bar had closed by the window's end"
    return reasons
