"""A chart of a simulated day: the age of each dataset over time."""

from __future__ import annotations

from pathlib import Path

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from quant_assets.common.files import replace_file
from quant_assets.derivatives.datasets import DATASETS, SPECS
from quant_assets.derivatives.simulation import SimulatedDay


def ages_figure(planned: SimulatedDay, without_exchanges: SimulatedDay | None, in_turn: SimulatedDay) -> go.Figure:
    """Plot the median and maximum age of each dataset by minute: as planned above, all in turn below.

    Between them is the plan without what exchanges give, if they give anything.
    """
    days = {"planned by worth and age": planned, "all symbols, all datasets, in turn": in_turn}
    if without_exchanges is not None:
        days = {
            "planned by worth and age, with what exchanges give": planned,
            "planned, Coinalyze alone": without_exchanges,
            "Coinalyze alone, all symbols, all datasets, in turn": in_turn,
        }
    figure = make_subplots(rows=len(days), cols=1, shared_xaxes=True, subplot_titles=tuple(days), vertical_spacing=0.06)
    for row, day in enumerate(days.values(), start=1):
        for dataset in DATASETS:
            ages = day.ages[day.ages["dataset"] == dataset]
            for kind, dash in (("median", "solid"), ("max", "dot")):
                figure.add_trace(
                    go.Scatter(
                        x=ages["minute"] / 60,
                        y=ages[f"asked_{kind}"] / 60,
                        name=f"{dataset.replace('_', ' ')}, {kind}",
                        legendgroup=f"{dataset} {kind}",
                        showlegend=row == 1,
                        line={"color": SPECS[dataset].colour, "dash": dash, "width": 1.5},
                    ),
                    row=row,
                    col=1,
                )
        figure.add_hline(y=120, line={"color": "#888", "width": 1}, row=row, col=1)
        figure.update_yaxes(title_text="minutes since asked", row=row, col=1)
    figure.update_xaxes(title_text="hours from an empty store", row=len(days), col=1)
    figure.update_layout(template="plotly_white", height=420 * len(days) + 60, title="Age of what is known")
    return figure


def write_figure(figure: go.Figure, path: Path) -> None:
    """Write a figure as one HTML file, atomically."""
    replace_file(path, figure.to_html(include_plotlyjs=True, full_html=True).encode())
