"""The values of each dataset at a window's end: one table for each dataset, one row for each market.

Bars that closed after the window's end are not used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import groupby
from operator import itemgetter
from typing import Final

import numpy as np
import pandas as pd

from quant_assets.common.windows import Window
from quant_assets.derivatives.datasets import BAR_SECONDS, Dataset
from quant_assets.derivatives.funding import funding_interval_hours
from quant_assets.derivatives.planner import NEEDED_HISTORY, distinct_symbols, needed_since
from quant_assets.derivatives.store import DerivativesStore

Z_SCORE_POINTS: Final = 30
MIN_Z_SCORE_POINTS: Final = 14
HOUR: Final = 3600
#: The minimum time between the first and the last close for a change of 24 hours.
CHANGE_MIN_SECONDS: Final = 23 * HOUR

Values = Mapping[str, dict[str, float]]

VALUE_COLUMNS: Final[dict[Dataset, tuple[str, ...]]] = {
    "open_interest": ("value", "z_score", "points", "average", "slope", "change_24h_pct"),
    "funding_rate": ("funding_rate_pct",),
    "long_short_ratio": ("long_short_ratio", "longs_pct", "shorts_pct"),
    "liquidations": ("longs_1h", "shorts_1h", "longs_24h", "shorts_24h"),
}


def snapshot(
    store: DerivativesStore | None, symbol_map: pd.DataFrame, dataset: Dataset, window: Window
) -> pd.DataFrame:
    """Return the values of `dataset` at the end of `window`, one row for each row of the symbol map.

    Without a store all values are missing.

    Columns: exchange, symbol, coinalyze_symbol, source_exchange, status, unit, simulated (whether the data are from
    an emulator), closed_at_ms (close of the newest bar used, NaN without data), and

    * open_interest: value (in unit), z_score of the last of at most 30 closes (NaN if there are fewer than 14, or all
      are equal), points, average and slope (least squares, unit per bar) of the closes of 24 hours, change_24h_pct (the
      last of them against the first, percent; NaN if the first is less than 23 hours older);
    * funding_rate: funding_rate_pct (for interval_hours), interval_hours (NaN if it is unknown);
    * long_short_ratio: long_short_ratio, longs_pct, shorts_pct;
    * liquidations: longs_1h, shorts_1h, longs_24h, shorts_24h (in unit), up to closed_at_ms.
    """
    symbols = symbol_map[f"{dataset}_symbol"]
    values = {} if store is None else _READERS[dataset](store, distinct_symbols(symbols), window)
    unit = symbol_map[f"{dataset}_unit"] if dataset in {"open_interest", "liquidations"} else ""
    table = pd.DataFrame(
        {
            "exchange": symbol_map["exchange"].astype(str),
            "symbol": symbol_map["symbol"].astype(str),
            "coinalyze_symbol": symbols.astype(str),
            "source_exchange": symbol_map[f"{dataset}_exchange"].astype(str),
            "status": symbol_map[f"{dataset}_status"].astype(str),
            "unit": pd.Series(unit, index=symbol_map.index, dtype=str),
            "simulated": store is not None and store.simulated,
        }
    )
    for column in ("closed_at_ms", *VALUE_COLUMNS[dataset]):
        known = [values.get(symbol, {}).get(column, math.nan) for symbol in symbols]
        table[column] = np.asarray(known, dtype=np.float64)
    if "points" in table:
        table["points"] = table["points"].fillna(0).astype(np.int64)
    if dataset == "funding_rate":
        table["interval_hours"] = funding_interval_hours(table["source_exchange"])
    return table.reset_index(drop=True)


def open_interest_statistics(closes: np.ndarray) -> dict[str, float]:
    """Return value, z_score, points, average and slope of open-interest closes, oldest first (at least one)."""
    recent = closes[-Z_SCORE_POINTS:]
    flat = recent.max() == recent.min()
    deviation = 0.0 if flat else float(recent.std())
    enough = len(recent) >= MIN_Z_SCORE_POINTS and deviation > 0
    steps = np.arange(len(closes), dtype=np.float64)
    steps -= steps.mean()
    average = float(closes.mean())
    return {
        "value": float(closes[-1]),
        "z_score": float((recent[-1] - recent.mean()) / deviation) if enough else math.nan,
        "points": float(len(closes)),
        "average": average,
        "slope": float(steps @ (closes - average) / (steps @ steps)) if len(closes) > 1 else math.nan,
    }


def change_24h_pct(times: np.ndarray, closes: np.ndarray) -> float:
    """Return the change from the first close to the last, in percent.

    `times` are the opening times of the bars in seconds, oldest first (at least one). NaN if the first is less than
    23 hours older than the last, or is 0.
    """
    if times[-1] - times[0] < CHANGE_MIN_SECONDS or closes[0] <= 0:
        return math.nan
    return float((closes[-1] - closes[0]) / closes[0] * 100)


def _open_interest(store: DerivativesStore, symbols: list[str], window: Window) -> Values:
    rows = store.bars("open_interest", symbols, needed_since(window), _opened_before(window))
    values = {}
    for symbol, group in groupby(rows, key=itemgetter(0)):
        bars = list(group)
        closes = np.array([bar[-1] for bar in bars], dtype=np.float64)
        values[str(symbol)] = {
            "closed_at_ms": _closed_ms(bars[-1][1]),
            **open_interest_statistics(closes),
            "change_24h_pct": change_24h_pct(np.array([bar[1] for bar in bars]), closes),
        }
    return values


def _funding_rate(store: DerivativesStore, symbols: list[str], window: Window) -> Values:
    rows = store.last_bars("funding_rate", symbols, _opened_before(window))
    return {str(row[0]): {"closed_at_ms": _closed_ms(row[1]), "funding_rate_pct": row[-1]} for row in rows}


def _long_short_ratio(store: DerivativesStore, symbols: list[str], window: Window) -> Values:
    columns = VALUE_COLUMNS["long_short_ratio"]
    rows = store.last_bars("long_short_ratio", symbols, _opened_before(window))
    return {
        str(row[0]): {"closed_at_ms": _closed_ms(row[1]), **dict(zip(columns, row[2:], strict=True))} for row in rows
    }


def _liquidations(store: DerivativesStore, symbols: list[str], window: Window) -> Values:
    """Return the sums of the liquidations up to the time through which they are known.

    The provider has bars only for times with liquidations. So a symbol without bars has sums of 0 if it was in any
    response, and none if it was missing in all of them.
    """
    through = store.known_through("liquidations", symbols, needed_since(window))
    served = store.served_symbols("liquidations")
    day_seconds = int(NEEDED_HISTORY.total_seconds())
    earliest = min([window.end_seconds, *through.values()]) - day_seconds
    rows = store.bars("liquidations", symbols, earliest, _opened_before(window))
    bars: dict[str, list[tuple[float, ...]]] = {
        str(symbol): [row[1:] for row in group] for symbol, group in groupby(rows, key=itemgetter(0))
    }
    values = {}
    for symbol in symbols:
        if symbol not in served or symbol not in through:
            continue
        end = min(through[symbol], window.end_seconds)
        sums = dict.fromkeys(VALUE_COLUMNS["liquidations"], 0.0)
        for time, longs, shorts in bars.get(symbol, ()):
            if end - day_seconds <= time < end:
                sums["longs_24h"] += longs
                sums["shorts_24h"] += shorts
            if end - HOUR <= time < end:
                sums["longs_1h"] += longs
                sums["shorts_1h"] += shorts
        values[symbol] = {"closed_at_ms": float(end * 1000), **sums}
    return values


def _opened_before(window: Window) -> int:
    """Return the time (UNIX seconds) before which bars opened that had closed by the window's end."""
    return window.end_seconds - BAR_SECONDS + 1


def _closed_ms(opened: float) -> float:
    return float((int(opened) + BAR_SECONDS) * 1000)


_READERS: Final[dict[Dataset, Callable[[DerivativesStore, list[str], Window], Values]]] = {
    "open_interest": _open_interest,
    "funding_rate": _funding_rate,
    "long_short_ratio": _long_short_ratio,
    "liquidations": _liquidations,
}
