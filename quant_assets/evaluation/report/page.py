"""The page of the report: tables, plots and what cannot be said, in one HTML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import jinja2
import pandas as pd
from plotly import graph_objects, offline

from quant_assets.evaluation.costs import Costs
from quant_assets.evaluation.evaluate import Evaluation
from quant_assets.evaluation.price_bars import Market, PriceBars
from quant_assets.evaluation.record import counted, summaries_by_group
from quant_assets.evaluation.report import figures
from quant_assets.evaluation.report.figures import Record

#: Best and worst trades shown with their charts, of each kind.
SHOWN_TRADES: Final = 3

_TEMPLATES: Final = jinja2.Environment(
    loader=jinja2.PackageLoader("quant_assets.evaluation.report", "."), autoescape=True, trim_blocks=True
)


def render_report(found: Evaluation, bars: Mapping[Market, PriceBars], costs: Costs) -> str:
    """Return the report of an evaluation as an HTML page; `bars` are those that the trades were followed on."""
    shown = found.trades_apart
    entered = counted(shown)
    plots = plots_of(found.records, entered)
    return _TEMPLATES.get_template("page.html").render(
        found=found,
        costs=costs,
        plotly=offline.get_plotlyjs(),
        plots=[_html(plot) for plot in plots.values()],
        groups=summaries_by_group(shown),
        trades=[(title, _charts(rows, bars)) for title, rows in _extremes(entered)],
    )


def plots_of(records: Mapping[str, Record], entered: pd.DataFrame) -> dict[str, graph_objects.Figure]:
    """Return the plots of records by name; `entered` are the trades that count. Without any there is no plot."""
    if entered.empty:
        return {}
    return {
        "curves": figures.curves(entered),
        "quartiles": figures.quartiles(records),
        "targets": figures.targets(records),
        "excursions": figures.excursions(entered),
        "days": figures.days(entered),
    }


def _extremes(entered: pd.DataFrame) -> Sequence[tuple[str, pd.DataFrame]]:
    ordered = entered.sort_values(["net_r", "entry_ms", "exchange", "symbol"], kind="stable")
    return ("The best trades", ordered.tail(SHOWN_TRADES)[::-1]), ("The worst trades", ordered.head(SHOWN_TRADES))


def _charts(trades: pd.DataFrame, bars: Mapping[Market, PriceBars]) -> list[str]:
    rows = trades.to_dict("records")
    return [_html(figures.trade_chart(row, bars[str(row["exchange"]), str(row["symbol"])])) for row in rows]


def _html(figure: graph_objects.Figure) -> str:
    return str(figure.to_html(full_html=False, include_plotlyjs=False, config={"displaylogo": False}))
