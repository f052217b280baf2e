"""Gather what was published since the live record was brought up to date."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import pandas as pd

from quant_assets.common.windows import Window
from quant_assets.evaluation.live.published import (
    PUBLISHED_SETUPS,
    empty_setups,
    published_setups,
    read_published,
)
from quant_assets.evaluation.live.update import Publications
from quant_assets.evaluation.trades import TradeRules
from quant_assets.storage.lake import DOCUMENT_SUFFIX, Lake

FEEDS: Final = ("master_feed",)
FEATURES: Final = ("features",)
#: Windows followed in one scan, the oldest first: the rest is left for the next scans.
MAX_WINDOWS: Final = 96


def new_publications(
    lake: Lake,
    followed: frozenset[str],
    rules: Mapping[str, TradeRules],
    keys: Sequence[str],
    published_at_ms: Callable[[Window], int | None],
    first_ms: int,
) -> tuple[Publications, int]:
    """Return the published windows that were not followed yet, at most MAX_WINDOWS, and the number of those left.

    Feeds of versions that kept no published setups are read from the tables of signals: `keys` are those of the
    strategies, `published_at_ms` returns when a window's first feed was written. Windows that ended before `first_ms`
    (epoch ms), from which no bar is there, have no trades.
    """
    kept = lake.partitions_besides(PUBLISHED_SETUPS, followed)
    of_feeds = lake.partitions_besides(FEEDS, followed | frozenset(kept), DOCUMENT_SUFFIX)
    windows = [Window.of_key(key) for key in sorted([*kept, *of_feeds])]
    recent = [window for window in windows if window.end_ms >= first_ms]
    chosen, setups = recent[:MAX_WINDOWS], []
    for window in chosen:
        table = read_published(lake, window)
        if table is None and (at_ms := published_at_ms(window)) is not None:
            table = stored_setups(lake, window, rules, keys, at_ms)
        setups.append(empty_setups() if table is None else table)
    old = [window for window in windows if window.end_ms < first_ms]
    left = len(recent) - len(chosen)
    return Publications(frozenset(window.key for window in [*old, *chosen]), setups), left


def stored_setups(
    lake: Lake, window: Window, rules: Mapping[str, TradeRules], keys: Sequence[str], published_at_ms: int
) -> pd.DataFrame | None:
    """Return the setups of a window's stored signal tables, None if there is no table, or none of its features."""
    features = lake.read_undamaged(FEATURES, window.key)
    tables = [lake.read_undamaged(("signals", key), window.key) for key in keys]
    found = [table for table in tables if table is not None]
    if features is None or not found:
        return None
    return published_setups(found, features, window, published_at_ms, rules)
