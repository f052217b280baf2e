"""The feed around its signals: order, statistics, and the narrow view of a selection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final

import pandas as pd

from quant_assets.common.windows import Window
from quant_assets.feed.contract import SCHEMA_VERSION
from quant_assets.feed.signal import Json, conflicts, market_blocks, signal
from quant_assets.markets.rules import nfc
from quant_assets.signals import MAX_OI_AGE_SECONDS, Strategy, features_of

#: What is older counts as stale.
FRESH_SECONDS: Final = MAX_OI_AGE_SECONDS
#: A price of this age or more lacks the last bar of its window.
OLD_PRICE_SECONDS: Final = 16 * 60
_AGES: Final = {
    "open_interest": "oi_age_seconds",
    "funding_rate": "funding_age_seconds",
    "long_short_ratio": "long_short_age_seconds",
    "liquidations": "liquidations_age_seconds",
}


def build_feed(
    features: pd.DataFrame,
    signals: Mapping[Strategy, pd.DataFrame],
    candle_files: pd.DataFrame,
    window: Window,
    *,
    api: Mapping[str, Any] | None,
    written_at: datetime,
    published_at_ms: int | None = None,
) -> Json:
    """Return the master feed of a window.

    `features` and each signal table have one row a market, in the same order; `candle_files` tells what was skipped,
    `api` is the account of the window's refresh, None where there was none. `written_at` is timezone-aware;
    `published_at_ms` is when the window's first feed was written, None where this is the first.
    """
    markets = list(features_of(features))
    blocks = [market_blocks(market) for market in markets]
    entries = [
        signal(strategy, market, row, shared)
        for strategy, table in signals.items()
        for market, row, shared in zip(markets, _records(table), blocks, strict=True)
    ]
    entries.sort(key=_order)
    conflicts(entries)
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
            "resolution": _counts((market.oi_status for market in markets), ("resolved", "aggregated", "neutral")),
            "actions": _counts((entry["action"] for entry in entries), ("LONG", "SHORT", "WAIT")),
            "api": {
                name: (api or {}).get(name, 0)
                for name in ("calls", "requests", "rate_limited", "cache_hits", "waited_seconds")
            },
            "freshness": {dataset: _freshness(features[column]) for dataset, column in _AGES.items()},
            "candles": {
                "newest_close_ms": None if pd.isna(newest_close_ms) else int(newest_close_ms),
                "held_back": int(candle_files["held_back"].sum()),
            },
            "skipped": _skipped(candle_files, features),
        },
        "signals": entries,
    }


def select_signals(
    feed: Mapping[str, Any], *, strategies: Collection[str] = (), exchange: str = "", symbol: str = ""
) -> Json:
    """Return the feed with the signals of these strategies, this exchange and markets whose symbol has this text in it.

    Nothing given selects everything; names are compared without case. The counts of the statistics follow the
    selection, what speaks of the whole scan (api, freshness, skipped) stays.
    """
    wanted = {name.casefold() for name in strategies}
    chosen = [
        entry
        for entry in feed["signals"]
        if (not wanted or entry["strategy_name"].casefold() in wanted)
        and (not exchange or entry["exchange"].casefold() == exchange.casefold())
        and has_symbol(entry, symbol)
    ]
    markets = {(entry["exchange"], entry["symbol"]): entry["oi_metadata"]["status"] for entry in chosen}
    stats = {
        **feed["stats"],
        "markets": len(markets),
        "signals": len(chosen),
        "strategies": [name for name in feed["stats"]["strategies"] if not wanted or name.casefold() in wanted],
        "resolution": _counts(markets.values(), ("resolved", "aggregated", "neutral")),
        "actions": _counts((entry["action"] for entry in chosen), ("LONG", "SHORT", "WAIT")),
    }
    return {**feed, "stats": stats, "signals": chosen}


def has_symbol(entry: Mapping[str, Any], text: str) -> bool:
    """Whether a signal's symbol, as its exchange or as people write it, contains a text; case does not matter."""
    wanted = nfc(text).casefold()
    return wanted in entry["symbol"].casefold() or wanted in entry["display_symbol"].casefold()


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    columns = [str(name) for name in table.columns]
    return [dict(zip(columns, row, strict=True)) for row in table.itertuples(index=False, name=None)]


def _order(entry: Json) -> tuple[bool, float, str, str, str]:
    return (entry["action"] == "WAIT", -entry["score"], entry["exchange"], entry["symbol"], entry["strategy_name"])


def _counts(values: Any, names: tuple[str, ...]) -> dict[str, int]:
    counted = Counter(values)
    return {name: counted[name] for name in names}


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
    """Return file → reason: files that could not be read, and those without a bar that had closed in time."""
    skipped = candle_files[candle_files["status"] == "skipped"]
    reasons = dict(zip(skipped["file"], skipped["reason"], strict=True))
    there = set(zip(features["exchange"], features["symbol"], strict=True))
    read = candle_files[candle_files["status"] == "read"]
    for file, exchange, symbol in zip(read["file"], read["exchange"], read["symbol"], strict=True):
        if (exchange, symbol) not in there:
            reasons[file] = "no bar had closed by the window's end"
    return reasons
