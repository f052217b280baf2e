"""4h bars made of sixteen stored 15m bars, and whether an exchange's own bars are exactly those."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal, localcontext
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from quant_assets.common.timeframes import HTF, LTF, STEP_MS

QUARTERS: Final = STEP_MS[HTF] // STEP_MS[LTF]
#: A day of 4h bars must agree before bars of a series are made.
MIN_COMPARED: Final = 6
_VALUES: Final = ("open", "high", "low", "close", "volume")
#: Enough for the exact sum of doubles between 1e-20 and 1e18.
_DIGITS: Final = 60


def make_4h_bars(bars: pd.DataFrame) -> pd.DataFrame:
    """Make the 4h bars of which all sixteen 15m bars are there.

    `bars` has the columns of CandleTables.bars and is sorted like it, all of 15m; so is the result, of 4h. Its volume
    is the exact sum of the decimal numbers that the exchange wrote, as the nearest double.
    """
    times = bars["time_ms"].to_numpy()
    opens = times - times % STEP_MS[HTF]
    is_first = np.append(True, np.diff(opens) != 0)[: len(bars)]
    for name in ("exchange", "symbol"):
        is_first[1:] |= np.diff(bars[name].cat.codes.to_numpy()) != 0
    starts = np.flatnonzero(is_first)
    starts = starts[np.diff(np.append(starts, len(bars))) == QUARTERS]
    quarters = {name: _by_bar(bars[name].to_numpy(), starts) for name in _VALUES}
    markets: pd.DataFrame = bars.iloc[starts][["exchange", "symbol"]].reset_index(drop=True)
    return markets.assign(
        timeframe=pd.Categorical([HTF] * len(starts), categories=[HTF]),
        time_ms=opens[starts],
        open=quarters["open"][:, 0],
        high=quarters["high"].max(axis=1, initial=-np.inf),
        low=quarters["low"].min(axis=1, initial=np.inf),
        close=quarters["close"][:, -1],
        volume=[sum_exactly(volumes) for volumes in quarters["volume"].tolist()],
    )


def sum_exactly(numbers: Iterable[float]) -> float:
    """Add numbers as the decimals that they are the shortest form of: 0.1 and 0.2 give 0.3."""
    with localcontext(prec=_DIGITS):
        return float(sum(Decimal(repr(number)) for number in numbers))


def compare_made_bars(made: pd.DataFrame, own: pd.DataFrame) -> pd.DataFrame:
    """Compare 4h bars that were made with those that the exchange answered, each field for exact equality.

    Return for each series in both: exchange, symbol; compared: the number of bars in both; different: how many of
    these differ; can_be_made: whether at least MIN_COMPARED bars were compared and none differs. `own` must come from
    the exchange: a stored bar may itself be made.
    """
    keys = ["exchange", "symbol", "time_ms"]
    texts = [table.astype({"exchange": "str", "symbol": "str"})[[*keys, *_VALUES]] for table in (made, own)]
    both = texts[0].merge(texts[1], on=keys, suffixes=("", "_own"))
    differs = np.zeros(len(both), np.bool_)
    for name in _VALUES:
        differs |= (both[name] != both[f"{name}_own"]).to_numpy()
    found = both.assign(differs=differs).groupby(["exchange", "symbol"], as_index=False)["differs"].agg(["size", "sum"])
    found.columns = pd.Index(["exchange", "symbol", "compared", "different"])
    return found.assign(can_be_made=(found["compared"] >= MIN_COMPARED) & (found["different"] == 0))


def _by_bar(column: npt.NDArray[np.float64], starts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return the sixteen values of each bar as a row."""
    rows: npt.NDArray[np.float64] = column[starts[:, None] + np.arange(QUARTERS)]
    return rows
