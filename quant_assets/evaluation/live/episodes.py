"""Episodes of published setups: which windows continue one, and which begin one."""

from __future__ import annotations

import numpy as np
import pandas as pd

from quant_assets.evaluation.grouping import in_order, keys_of
from quant_assets.evaluation.trades import TRADER, first_windows, trader_of

#: What has one trade at a time. Windows published in time and late ones are followed apart.
LIVE_TRADER = ("source", *TRADER)


def extended(episodes: pd.DataFrame, setups: pd.DataFrame) -> pd.DataFrame:
    """Return the episodes with the setups of more windows, as the columns of `LiveRecord.episodes` have them.

    A setup continues an episode if the window before it belongs to that, on the same side. Windows that come later
    than newer ones begin episodes of their own.
    """
    if setups.empty:
        return episodes
    names = [*LIVE_TRADER, "window_ms"]
    old = episodes.assign(window_ms=episodes["last_ms"], row=np.arange(len(episodes)))
    new = setups.assign(window_ms=setups["end_ms"], last_ms=setups["end_ms"], decided=False, row=-1)
    # An update that was broken off may have added a window already: its setups are not new ones.
    known = set(keys_of(old, names))
    new = new[[key not in known for key in keys_of(new, names)]]
    both = in_order(pd.concat([old, new], ignore_index=True) if len(old) else new, names)
    window_ms = both["window_ms"].to_numpy(np.int64)
    begins = first_windows(trader_of(both, LIVE_TRADER), window_ms, both["side"].to_numpy(str))
    begins |= both["row"].to_numpy(np.int64) >= 0
    last = np.append(np.flatnonzero(begins)[1:], len(both)) - 1
    return both[begins].drop(columns=["window_ms", "row"]).assign(last_ms=window_ms[last]).reset_index(drop=True)
