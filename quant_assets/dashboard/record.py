"""The record of published signals: what the page and the API show of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
import pandas as pd

from quant_assets.dashboard.record_query import RecordParameters, TradeParameters
from quant_assets.evaluation import (
    Costs,
    EvaluationConfigError,
    Outcome,
    counted,
    load_costs,
    record,
    summaries_by_group,
)
from quant_assets.evaluation.live import AGREES
from quant_assets.evaluation.report import plots_of

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class LiveRecord:
    """The record of the trades that pass the filters."""

    matched: int
    """Trades of all outcomes, without hindsight."""
    hindsight: int
    """Trades of windows from before their market was first selected, which are left out."""
    records: dict[str, Json]
    groups: dict[str, list[tuple[str, str, Json]]]
    replayed: Replayed


@dataclass(frozen=True, slots=True)
class Replayed:
    """Settled trades that were compared with a replay; `differ` are those that it did not give."""

    compared: int
    differ: pd.DataFrame

    @classmethod
    def of(cls, trades: pd.DataFrame) -> Replayed:
        """Return those among some trades."""
        compared = trades[trades["replay"] != ""]
        return cls(len(compared), compared[compared["replay"] != AGREES])

    @property
    def causes(self) -> dict[str, int]:
        """Cause → number of trades, the most frequent first."""
        counts = self.differ["replay"].astype("str").value_counts()
        return {str(cause): int(count) for cause, count in counts.items()}


def live_record(trades: pd.DataFrame, parameters: RecordParameters, costs: Costs) -> LiveRecord:
    """Return the record of trades; `trades` have texts as categories."""
    selected = parameters.select(trades)
    shown = selected[~selected["hindsight"]]
    return LiveRecord(
        matched=len(shown),
        hindsight=len(selected) - len(shown),
        records={str(name): record(part, costs) for name, part in shown.groupby("strategy", observed=True, sort=True)},
        groups=summaries_by_group(shown),
        replayed=Replayed.of(shown),
    )


def record_json(found: LiveRecord, costs: Costs) -> Json:
    """Return what `/api/record` shows."""
    return {
        "trades": found.matched,
        "hindsight": found.hindsight,
        "costs": costs.model_dump(),
        "strategies": found.records,
        "groups": [
            {"by": title, "strategy": strategy, "name": name, **statistics}
            for title, rows in found.groups.items()
            for strategy, name, statistics in rows
        ],
        "replayed": {
            "compared": found.replayed.compared,
            "agree": found.replayed.compared - len(found.replayed.differ),
            "causes": found.replayed.causes,
        },
    }


def figures_json(trades: pd.DataFrame, parameters: RecordParameters, costs: Costs) -> Json:
    """Return the plots of the record by name, as plotly's JSON."""
    selected = parameters.select(trades)
    shown = selected[~selected["hindsight"]]
    records = {str(name): record(part, costs) for name, part in shown.groupby("strategy", observed=True, sort=True)}
    return {name: orjson.Fragment(plot.to_json()) for name, plot in plots_of(records, counted(shown)).items()}


def trades_json(trades: pd.DataFrame, parameters: TradeParameters) -> Json:
    """Return what `/api/trades` shows: the newest trades first; what is unknown is None."""
    selected = parameters.select(trades)
    return {"matched": len(selected), "trades": trade_rows(selected.iloc[::-1].head(parameters.limit))}


def trade_rows(trades: pd.DataFrame) -> list[Json]:
    """Return trades as dictionaries; NaN is None, and so are exit and result of a trade that has not ended.

    The table holds the market's last close as the exit of an open trade. The parts of the score are left out.
    """
    names = [str(name) for name in trades if not str(name).startswith("part_")]
    columns = {name: trades[name].astype(object).where(trades[name].notna(), None) for name in names}
    has_ended = (trades["exit_ms"] > 0) & (trades["outcome"] != Outcome.OPEN)
    for name in ("exit_ms", "exit", "gross_r", "net_r"):
        columns[name] = columns[name].where(has_ended, None)
    return [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def costs_or_defaults(path: Any) -> tuple[Costs, str]:
    """Return the costs of the user's file, or the defaults and what is wrong with it."""
    try:
        return load_costs(path), ""
    except EvaluationConfigError as error:
        return Costs(), str(error).replace(str(path), path.name)  # no folder of the server on a page
