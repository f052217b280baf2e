"""The table `track_record` of a window: what the published signals of each strategy were worth, as known at its end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from quant_assets.evaluation.exits import Bools, Outcome
from quant_assets.evaluation.price_bars import Floats, Ints
from quant_assets.evaluation.record import counted
from quant_assets.evaluation.scores import quartile_bounds, quartiles_of
from quant_assets.evaluation.statistics import DAY_MS, Estimate, clustered_mean, days_of, is_too_few
from quant_assets.evaluation.trade_table import Source
from quant_assets.signals.sides import LONG, SHORT

#: Days before the window's end in which the trades of a row were entered.
PERIODS: Final = (7, 30, 90)
#: Days of the trades that the quartile bounds are made from, and that the feed shows.
MAX_PERIOD: Final = max(PERIODS)
#: Side of a row for both sides, and quartile of a row for all scores.
BOTH_SIDES: Final = ""
ALL_SCORES: Final = 0

#: Name → (dtype, description).
COLUMNS: Final[Mapping[str, tuple[str, str]]] = {
    "strategy": ("str", "The strategy."),
    "period_days": ("int64", "Its trades that were entered in so many days before the window's end: 7, 30 or 90."),
    "side": ("str", "LONG, SHORT, or empty for both."),
    "quartile": ("int64", "Score quartile, 1 (lowest) to 4; 0 for all scores."),
    "score_over": ("float64", "Scores of the quartile are above this bound; empty for none."),
    "score_up_to": ("float64", "Scores of the quartile are up to this bound; empty for none."),
    "n": ("int64", "Mature trades with an outcome of target, stop or expired."),
    "days": ("int64", "UTC days with an entry."),
    "asset_days": ("int64", "Different pairs of asset and day."),
    "too_few": ("bool", "Under 30 trades or 10 days: too few to say."),
    "win_share": ("float64", "Share with a positive net result."),
    "win_share_low": ("float64", "Lower end of its 95 % interval."),
    "win_share_high": ("float64", "Upper end of its 95 % interval."),
    "mean_r": ("float64", "Mean net result, R."),
    "mean_r_low": ("float64", "Lower end of its 95 % interval."),
    "mean_r_high": ("float64", "Upper end of its 95 % interval."),
    "edge_r": ("float64", "Mean of net result minus that of random entries, R."),
    "edge_r_low": ("float64", "Lower end of its 95 % interval."),
    "edge_r_high": ("float64", "Upper end of its 95 % interval."),
}


def track_record(trades: pd.DataFrame, end_ms: int) -> pd.DataFrame:
    """Return the record as of a window's end (epoch ms): a row for each strategy, period, side and score quartile.

    `trades` has the columns of the table `trades`. Only trades of signals published in time count, without hindsight,
    and only if their time limit had passed by the window's end. The bounds of the score quartiles are those of the
    strategy's trades of 90 days. A strategy without such a trade has no row.
    """
    known = known_trades(trades, end_ms)
    rows: list[dict[str, Any]] = []
    for strategy, of_strategy in known.groupby(known["strategy"].astype(str), sort=True):
        bounds = quartile_bounds(of_strategy["score"].to_numpy(np.float64))
        rows += [{"strategy": str(strategy), **row} for row in _rows_of(of_strategy, bounds, end_ms)]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.astype({name: dtype for name, (dtype, _) in COLUMNS.items()})


def known_trades(trades: pd.DataFrame, end_ms: int) -> pd.DataFrame:
    """Return the trades of the longest period that count, as far as they were known at a moment (epoch ms)."""
    is_expired = trades["outcome"] == Outcome.EXPIRED
    is_known = (trades["deadline_ms"] <= end_ms) & (~is_expired | (trades["exit_ms"] < end_ms))
    is_recent = trades["entry_ms"] >= end_ms - MAX_PERIOD * DAY_MS
    is_shown = (trades["source"] == Source.PUBLISHED) & ~trades["hindsight"]
    return counted(trades[is_known & is_recent & is_shown])


@dataclass(frozen=True, slots=True)
class TrackRecord:
    """The record of a window, to look up what a signal's like was worth."""

    _rows: Mapping[tuple[str, str, int], Mapping[str, Any]]
    """Strategy, side and quartile → the row of the longest period."""

    @classmethod
    def of(cls, table: pd.DataFrame | None) -> TrackRecord:
        """Return the record of a table `track_record`; None and a table without rows have nothing to say."""
        if table is None or table.empty:
            return cls({})
        rows: list[dict[str, Any]] = table[table["period_days"] == MAX_PERIOD].to_dict("records")  # type: ignore[assignment]
        return cls({(str(row["strategy"]), str(row["side"]), int(row["quartile"])): row for row in rows})

    def of_signal(self, strategy: str, side: str, score: float) -> dict[str, Any] | None:
        """Return what setups of a strategy, side and score quartile were worth, None if the strategy has no record.

        The keys are n, days, too_few, mean_r, mean_r_interval, edge_r and win_share; numbers that cannot be computed
        are None.
        """
        for quartile in range(1, 5):
            row = self._rows.get((strategy, side, quartile))
            if row is not None and (np.isnan(row["score_up_to"]) or score <= row["score_up_to"]):
                interval = [_number(row["mean_r_low"]), _number(row["mean_r_high"])]
                return {
                    "n": int(row["n"]),
                    "days": int(row["days"]),
                    "too_few": bool(row["too_few"]),
                    "mean_r": _number(row["mean_r"]),
                    "mean_r_interval": None if None in interval else interval,
                    "edge_r": _number(row["edge_r"]),
                    "win_share": _number(row["win_share"]),
                }
        return None


def _rows_of(trades: pd.DataFrame, bounds: Floats, end_ms: int) -> Iterator[dict[str, Any]]:
    """Yield the rows of one strategy, without its name."""
    edges = [np.nan, *bounds.tolist(), np.nan]
    columns = _Columns.of(trades, bounds)
    for period in PERIODS:
        is_recent = columns.entry_ms >= end_ms - period * DAY_MS
        for side in (BOTH_SIDES, LONG.value, SHORT.value):
            of_side = is_recent & ((columns.side == side) | (side == BOTH_SIDES))
            for quartile in range(5):
                chosen = of_side & ((columns.quartile == quartile) | (quartile == ALL_SCORES))
                over, up_to = (np.nan, np.nan) if quartile == ALL_SCORES else edges[quartile - 1 : quartile + 1]
                yield {
                    "period_days": period,
                    "side": side,
                    "quartile": quartile,
                    "score_over": over,
                    "score_up_to": up_to,
                    **columns.statistics(chosen),
                }


@dataclass(frozen=True, slots=True)
class _Columns:
    """The columns of one strategy's trades that the statistics need."""

    entry_ms: Ints
    day: Ints
    side: npt.NDArray[np.str_]
    quartile: Ints
    asset: Ints
    net: Floats
    edge: Floats

    @classmethod
    def of(cls, trades: pd.DataFrame, bounds: Floats) -> _Columns:
        entry_ms, net = trades["entry_ms"].to_numpy(np.int64), trades["net_r"].to_numpy(np.float64)
        return cls(
            entry_ms=entry_ms,
            day=days_of(entry_ms),
            side=trades["side"].to_numpy(str),
            quartile=quartiles_of(trades["score"].to_numpy(np.float64), bounds),
            asset=pd.factorize(trades["asset"])[0].astype(np.int64),
            net=net,
            edge=net - trades["chance_r"].to_numpy(np.float64),
        )

    def statistics(self, chosen: Bools) -> dict[str, Any]:
        """Return the statistics of some trades."""
        net, edge, day = self.net[chosen], self.edge[chosen], self.day[chosen]
        days = len(np.unique(day))
        has_chance = ~np.isnan(edge)
        return {
            "n": len(net),
            "days": days,
            "asset_days": len(set(zip(self.asset[chosen].tolist(), day.tolist(), strict=True))),
            "too_few": is_too_few(len(net), days),
            **_columns("win_share", clustered_mean((net > 0).astype(np.float64), day)),
            **_columns("mean_r", clustered_mean(net, day)),
            **_columns("edge_r", clustered_mean(edge[has_chance], day[has_chance])),
        }


def _columns(name: str, estimate: Estimate) -> dict[str, float | None]:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
