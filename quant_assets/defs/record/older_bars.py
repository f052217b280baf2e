"""Bars of exchanges from before those of `candles`, for trades that were open while no window was scanned."""

import pandas as pd

from quant_assets.candles.bar_store import BarStore
from quant_assets.common.timeframes import LTF
from quant_assets.evaluation.live import LiveRecord


def with_older_bars(candles: pd.DataFrame, record: LiveRecord, store: BarStore) -> pd.DataFrame:
    """Return the candles, with stored 15m bars from the oldest trade that has not ended, if they begin after it."""
    waiting = record.episodes[~record.episodes["decided"]]
    of_ltf = candles.loc[candles["timeframe"] == LTF, ["exchange", "time_ms"]]
    if waiting.empty or of_ltf.empty:
        return candles
    first_ms = of_ltf.groupby("exchange", observed=True)["time_ms"].min()
    found = [candles]
    for exchange, rows in waiting.groupby("exchange"):
        since_ms = int(rows["end_ms"].min())
        if exchange in first_ms.index and since_ms < first_ms[exchange]:
            symbols = set(rows["symbol"].astype(str))
            found.append(store.read(str(exchange), LTF, since_ms, int(first_ms[exchange]), symbols).bars)
    if len(found) == 1:
        return candles
    joined = pd.concat([table.astype({"exchange": "str", "symbol": "str", "timeframe": "str"}) for table in found])
    names = ["exchange", "symbol", "timeframe", "time_ms"]
    return joined.drop_duplicates(names).sort_values(names, ignore_index=True)
