"""The table `trades` in the lake: the trades of published signals, as they stand after the newest scan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

import pandas as pd

from quant_assets.common.windows import KEY_FORMAT, WINDOW_LENGTH
from quant_assets.storage.lake import Lake

#: Where the table is in the lake; it has no partitions.
TRADES: Final[Sequence[str]] = ("trades",)
#: A score's parts, points each, are columns of these names; NaN for strategies that do not have them.
PART_PREFIX: Final = "part_"


class Source(StrEnum):
    """Which feed a trade follows. Members equal their plain strings."""

    PUBLISHED = "published"
    """The first feed of its window, written less than 15 minutes after the window's end."""
    LATE = "late"
    """The first feed of its window, written later."""
    REPLAYED = "replayed"
    """None: its setup was computed over history."""


#: Name → (dtype, description), without the parts of the score.
COLUMNS: Final[Mapping[str, tuple[str, str]]] = {
    "strategy": ("str", "The strategy."),
    "exchange": ("str", "Exchange, as in the candle file's name."),
    "symbol": ("str", "Local symbol, as in the file's name."),
    "asset": ("str", "The base asset, like BTC."),
    "side": ("str", "LONG or SHORT."),
    "source": ("str", "published (the first feed of its window came in time) or late (it came later)."),
    "window": ("str", "Key of the window whose setup it follows."),
    "published_at_ms": ("int64", "When the window's first feed was written, epoch ms; 0 if it is about to be."),
    "score": ("float64", "Score of the setup, 0 to 100."),
    "rr": ("float64", "Reward by risk of the setup."),
    "oi_status": ("str", "Source of open interest when it was published: resolved, aggregated or neutral."),
    "hindsight": ("bool", "Whether the window is from before the market was first selected here."),
    "entry_ms": ("int64", "The end of its window, at which it is entered, epoch ms."),
    "entry": ("float64", "Price; empty if there is none."),
    "stop": ("float64", "Price of the setup's stop."),
    "target": ("float64", "Price of the setup's target."),
    "deadline_ms": ("int64", "The end of its window plus the strategy's time limit, epoch ms."),
    "exit_ms": ("int64", "When it ended, epoch ms; the market's last close if it is open, 0 without an entry."),
    "exit": ("float64", "Price; the market's last close if it is open, empty if it is lost or has no entry."),
    "outcome": ("str", "target, stop, expired, open, pending, lost or no_entry."),
    "reason": ("str", "Why there is no entry: no_bar, gapped or stop_too_close; empty otherwise."),
    "ambiguous": ("bool", "Whether the bar that reached the stop also reached the target."),
    "mature": ("bool", "Whether the time limit has passed in the market's bars: only these enter a statistic."),
    "final": ("bool", "Whether nothing about it changes any more."),
    "bars_held": ("int64", "15m bars from the entry to the last one in which it was open."),
    "gross_r": ("float64", "Result in R, before costs."),
    "net_r": ("float64", "Result in R, after fees, slippage and funding."),
    "funding_known": ("float64", "Share of funding settlements whose rate is known; 1 if there was none."),
    "mfe_r": ("float64", "Maximum favourable excursion in R."),
    "mae_r": ("float64", "Maximum adverse excursion in R, 0 or negative."),
    "chance_r": ("float64", "Mean net result in R of 200 random entries of the week before; only if it counts."),
    "later_r": ("float64", "Net result in R with the entry one bar later; only if it counts."),
    "replay": (
        "str",
        "What a replay gave when it was settled: agrees, or why it differs (candles, derivatives, revised_bars, "
        "missed_scan); empty if it was not compared.",
    ),
    "replay_r": ("float64", "Result of the replayed trade in R before costs; empty if there is none in this window."),
}


def read_trades(lake: Lake) -> pd.DataFrame | None:
    """Return the trades of published signals, None if there is no table yet. Raises LakeError if it is damaged.

    The columns are those of `COLUMNS` and one for each part of a score. The rows are sorted by entry_ms, strategy,
    exchange and symbol.
    """
    return lake.read(TRADES)


def empty_trades() -> pd.DataFrame:
    """Return the table without rows."""
    return pd.DataFrame({name: pd.Series(dtype=dtype) for name, (dtype, _) in COLUMNS.items()})


def window_keys(end_ms: pd.Series[int]) -> pd.Series[str]:
    """Return the keys of the windows that end at these times (epoch ms)."""
    starts = pd.to_datetime(end_ms, unit="ms", utc=True) - WINDOW_LENGTH
    return starts.dt.strftime(KEY_FORMAT).astype("str")
