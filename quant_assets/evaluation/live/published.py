"""What the first feed of a window published: its setups, kept as they were, since later feeds of the window differ.

A feed is made again when derivatives or bars come later, and then replaces the tables of signals and the stored feed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import pandas as pd

from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.evaluation.setups import setups_of
from quant_assets.evaluation.trade_table import PART_PREFIX, Source
from quant_assets.evaluation.trades import TradeRules, with_rules
from quant_assets.storage.lake import Lake

#: Where the tables are in the lake, one for each window whose feed was published.
PUBLISHED_SETUPS: Final[Sequence[str]] = ("published_setups",)
#: The first feed of a window is in time if it was written before the next window ended.
IN_TIME_MS: Final = int(WINDOW_LENGTH.total_seconds() * 1000)
#: Name → dtype, without the parts of the score.
DTYPES: Final[Mapping[str, str]] = {
    "strategy": "str",
    "exchange": "str",
    "symbol": "str",
    "asset": "str",
    "side": "str",
    "source": "str",
    "hindsight": "bool",
    "oi_status": "str",
    "end_ms": "int64",
    "published_at_ms": "int64",
    "deadline_ms": "int64",
    "min_stop_pct": "float64",
    "score": "float64",
    "rr": "float64",
    "stop": "float64",
    "target": "float64",
}


def published_setups(
    signals: Iterable[pd.DataFrame],
    features: pd.DataFrame,
    window: Window,
    published_at_ms: int,
    rules: Mapping[str, TradeRules],
) -> pd.DataFrame:
    """Return the setups of a window's signal tables; `published_at_ms` is when its first feed was written.

    `features` has the asset and the status of open interest of each market. Signals of strategies without `rules` are
    left out. The columns are those of DTYPES, and the parts of the scores.
    """
    found = [setups_of(table.assign(window_end_ms=window.end_ms)) for table in signals]
    if not (found := [table for table in found if len(table)]):
        return empty_setups()
    setups = pd.concat(found, ignore_index=True)
    setups = setups[setups["strategy"].isin(list(rules))].reset_index(drop=True)
    of_market = features[["exchange", "symbol", "canonical_symbol", "oi_status"]]
    known = setups[["exchange", "symbol"]].merge(of_market, on=["exchange", "symbol"], how="left")
    is_in_time = published_at_ms < window.end_ms + IN_TIME_MS
    table = with_rules(setups, rules).assign(
        asset=known["canonical_symbol"].fillna(setups["symbol"]),
        oi_status=known["oi_status"].fillna("neutral"),
        source=(Source.PUBLISHED if is_in_time else Source.LATE).value,
        hindsight=False,
        published_at_ms=published_at_ms,
    )
    parts = [str(name) for name in table if str(name).startswith(PART_PREFIX)]
    return table[[*DTYPES, *parts]].astype(dict(DTYPES))


def empty_setups() -> pd.DataFrame:
    """Return the table without rows."""
    return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in DTYPES.items()})


def write_published(lake: Lake, window: Window, setups: pd.DataFrame) -> None:
    """Store what the first feed of a window published. Raises WriteError."""
    lake.write(PUBLISHED_SETUPS, window.key, setups)


def read_published(lake: Lake, window: Window) -> pd.DataFrame | None:
    """Return what the first feed of a window published, None if that is not stored or damaged."""
    return lake.read_undamaged(PUBLISHED_SETUPS, window.key)
