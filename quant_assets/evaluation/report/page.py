"""The page of the report: tables, plots and what cannot be said, in one HTML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import jinja2
import pandas as pd
from plotly import graph_objects, offline

from quant_assets.evaluation.costs import Costs
from quant_assets.evaluation.evaluate import Evaluation
from quant_assets.evaluation.price_bars import Market, PriceBars
from quant_assets.evaluation.record import counted, records_by
from quant_assets.evaluation.report import figures

#: Best and worst trades shown with their charts, of each kind.
SHOWN_TRADES: Final = 3
#: Title → column of the trades that groups them.
GROUPS: Final = {"side": "side", "exchange": "exchange", "open interest": "oi_status"}

_TEMPLATES: Final = jinja2.Environment(
    loader=jinja2.PackageLoader("quant_assets.evaluation.report", "."), autoescape=True, trim_blocks=True
)


def render_report(found: Evaluation, bars: Mapping[Market, PriceBars], costs: Costs) -> str:
    """Return the report of an evaluation as an HTML page; `bars` are those that the trades were followed on."""
    entered = counted(found.trades)
    plots = (
        [
            figures.curves(entered),
            figures.quartiles(found.records),
            figures.targets(found.records),
            figures.excursions(entered),
            figures.days(entered),
        ]
        if len(entered)
        else []
    )
    return _TEMPLATES.get_template("page.html").render(
        found=found,
        costs=costs,
        plotly=offline.get_plotlyjs(),
        plots=[_html(plot) for plot in plots],
        groups={title: _groups(found.trades, column, costs) for title, column in GROUPS.items()},
        trades=[(title, _charts(rows, bars)) for title, rows in _extremes(entered)],
    )


def _groups(trades: pd.DataFrame, column: str, costs: Costs) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Return strategy, name and record of each part of each strategy's trades."""
    return [
        (str(strategy), name, record)
        for strategy, rows in trades.groupby("strategy", sort=True)
        for name, record in records_by(rows, rows[column], costs).items()
    ]


def _extremes(entered: pd.DataFrame) -> Sequence[tuple[str, pd.DataFrame]]:
    ordered = entered.sort_values(["net_r", "entry_ms", "exchange", "symbol"], kind="stable")
    return ("The best trades", ordered.tail(SHOWN_TRADES)[::-1]), ("The worst trades", ordered.head(SHOWN_TRADES))


def _charts(trades: pd.DataFrame, bars: Mapping[Market, PriceBars]) -> list[str]:
    rows = trades.to_dict("records")
    return [_html(figures.trade_chart(row, bars[str(row["exchange"]), str(row["symbol"])])) for row in rows]


def _html(figure: graph_objects.Figure) -> str:
    return str(figure.to_html(full_html=False, include_plotlyjs=False, config={"displaylogo": False}))
