"""Selecting signals of a feed, with the statistics of the selection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from quant_assets.markets.rules import nfc

Json = dict[str, Any]


def select_signals(
    feed: Mapping[str, Any], *, strategies: Collection[str] = (), exchange: str = "", symbol: str = ""
) -> Json:
    """Return the feed with only the signals of these strategies, this exchange, and symbols that contain this text.

    An empty argument selects everything; case does not matter. The counts in `stats` are those of the selection; what
    describes the whole scan (api, freshness, skipped) is unchanged.
    """
    names = {name.casefold() for name in strategies}
    selected = [
        signal
        for signal in feed["signals"]
        if (not names or signal["strategy_name"].casefold() in names)
        and (not exchange or signal["exchange"].casefold() == exchange.casefold())
        and has_symbol(signal, symbol)
    ]
    kept = [name for name in feed["stats"]["strategies"] if not names or name.casefold() in names]
    return {**feed, "stats": selection_stats(feed, selected, kept), "signals": selected}


def has_symbol(signal: Mapping[str, Any], text: str) -> bool:
    """Return whether a signal's symbol, in the exchange's form or the display form, contains a text."""
    part = nfc(text).casefold()
    return part in signal["symbol"].casefold() or part in signal["display_symbol"].casefold()


def selection_stats(feed: Mapping[str, Any], signals: Sequence[Mapping[str, Any]], strategies: Collection[str]) -> Json:
    """Return the feed's `stats` with the counts of these signals and the names of these strategies."""
    markets = {(signal["exchange"], signal["symbol"]): signal["oi_metadata"]["status"] for signal in signals}
    stats = feed["stats"]
    return {
        **stats,
        "markets": len(markets),
        "signals": len(signals),
        "strategies": [name for name in stats["strategies"] if name in strategies],
        "resolution": count_by_name(markets.values(), stats["resolution"]),
        "actions": count_by_name((signal["action"] for signal in signals), stats["actions"]),
    }


def count_by_name(values: Iterable[str], names: Iterable[str]) -> dict[str, int]:
    """Return how often each name is among the values, in the order of the names."""
    counts = Counter(values)
    return {name: counts[name] for name in names}
