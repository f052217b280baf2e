"""Settle trades: compute for good what a trade was worth, once its time limit has passed in its market's bars."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from quant_assets.evaluation.costs import FundingRates
from quant_assets.evaluation.draws import Range, chance_results
from quant_assets.evaluation.exits import Bools, Outcome
from quant_assets.evaluation.one_bar_later import later_results
from quant_assets.evaluation.price_bars import Floats, Ints, Market
from quant_assets.evaluation.prices import Prices
from quant_assets.evaluation.record import ENDED
from quant_assets.evaluation.results import paid
from quant_assets.evaluation.statistics import DAY_MS
from quant_assets.evaluation.trades import Reason
from quant_assets.signals.sides import SIGN

#: Random entries of a trade are drawn from the windows of so many days before it, its own included. A whole number of
#: weeks has every hour and weekday alike, and the bars that a scan reads (1,500, nearly 16 days) reach back so far.
CHANCE_MS: Final = 7 * DAY_MS
#: A trade whose market gives no more bars is left as it is so long after its time limit.
GIVEN_UP_MS: Final = 7 * DAY_MS
#: Trades settled in one scan: their random entries take some 2 ms each, and a scan must not wait for more.
MAX_SETTLED: Final = 200

RatesOf = Callable[[pd.DataFrame, int], Mapping[Market, FundingRates]]
"""Trades, and the time (epoch ms) since which rates are needed → the funding rates of their markets."""


def is_over(outcome: npt.NDArray[np.str_], exit_ms: Ints, end_ms: Ints) -> Bools:
    """Return which trades have ended for good; `end_ms` is the last close of their markets.

    An expired or lost trade is over when a later bar has shown it: until then its last close stands for the end.
    """
    ended_by_price = np.isin(outcome, [Outcome.TARGET.value, Outcome.STOP.value, Outcome.NO_ENTRY.value])
    ended_by_time = np.isin(outcome, [Outcome.EXPIRED.value, Outcome.LOST.value]) & (exit_ms < end_ms)
    return np.asarray(ended_by_price | ended_by_time, dtype=bool)


def settle(trades: pd.DataFrame, over: Bools, prices: Prices, rates_of: RatesOf, now_ms: int) -> pd.DataFrame:
    """Return the trades with those settled that can be, at most MAX_SETTLED, the oldest first.

    `trades` have not been settled, `over` says which of them have ended for good. A settled trade is mature and final:
    its funding is that of the rates now stored, and it has its random entries and the result of a later entry. A trade
    whose market gives no more bars becomes final without being mature.
    """
    market = prices.numbers_of(trades)
    has_bars = np.flatnonzero(market >= 0)
    end_ms = np.zeros(len(trades), np.int64)
    end_ms[has_bars] = prices.bars.end_ms(market[has_bars])
    deadline_ms = trades["deadline_ms"].to_numpy(np.int64)
    due = np.flatnonzero(over & (deadline_ms <= end_ms))
    due = due[trades["entry_ms"].to_numpy(np.int64)[due].argsort(kind="stable")][:MAX_SETTLED]
    found = trades.assign(mature=_marked(trades["mature"], due), final=_marked(trades["final"], due))
    counts = due[trades["outcome"].isin(ENDED).to_numpy(bool)[due]]
    if len(counts):
        settled = trades.iloc[counts]
        results = _results(settled, prices, rates_of)
        for name, values in results.items():
            column = found[name].to_numpy(np.float64).copy()
            column[counts] = values
            found[name] = column
    return _given_up(found, np.flatnonzero(~found["final"].to_numpy(bool) & (deadline_ms + GIVEN_UP_MS <= now_ms)))


def _results(settled: pd.DataFrame, prices: Prices, rates_of: RatesOf) -> dict[str, Floats]:
    entry_ms = settled["entry_ms"].to_numpy(np.int64)
    charged = prices.with_rates(rates_of(settled, int(entry_ms.min()) - CHANCE_MS))
    entry, exit_price, stop = (settled[name].to_numpy(np.float64) for name in ("entry", "exit", "stop"))
    sign = np.array([SIGN[side] for side in settled["side"]], dtype=np.float64)
    funding_pct, known = charged.funding_of(
        charged.numbers_of(settled), entry_ms, settled["exit_ms"].to_numpy(np.int64)
    )
    cost = paid(sign, entry, exit_price, charged.costs, funding_pct)
    return {
        "net_r": settled["gross_r"].to_numpy(np.float64) - cost / np.abs(entry - stop),
        "funding_known": known,
        "chance_r": chance_results(settled, charged, Range(entry_ms - CHANCE_MS, entry_ms)),
        "later_r": later_results(settled, charged),
    }


def _given_up(trades: pd.DataFrame, rows: Ints) -> pd.DataFrame:
    """Return the trades with these rows final: what is open is lost, what is pending has no entry."""
    if not len(rows):
        return trades
    chosen = np.zeros(len(trades), dtype=bool)
    chosen[rows] = True
    is_open = chosen & (trades["outcome"] == Outcome.OPEN).to_numpy(bool)
    is_pending = chosen & (trades["outcome"] == Outcome.PENDING).to_numpy(bool)
    outcome = trades["outcome"].mask(is_open, Outcome.LOST.value).mask(is_pending, Outcome.NO_ENTRY.value)
    results = {name: trades[name].mask(is_open) for name in ("exit", "gross_r", "net_r", "mfe_r", "mae_r")}
    reason = trades["reason"].mask(is_pending, Reason.NO_BAR.value)
    return trades.assign(outcome=outcome, reason=reason, **results, final=trades["final"] | chosen)


def _marked(column: pd.Series[bool], rows: Ints) -> Bools:
    values: Bools = column.to_numpy(bool).copy()
    values[rows] = True
    return values
