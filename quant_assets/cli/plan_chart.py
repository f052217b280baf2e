"""A chart of a simulated day: the age of each dataset over time."""

from __future__ import annotations

from pathlib import Path

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from quant_assets.common.files import replace_file
from quant_assets.derivatives.datasets import DATASETS, SPECS
from quant_assets.derivatives.simulation import SimulatedDay


def ages_figure(planned: SimulatedDay, in_turn: SimulatedDay) -> go.Figure:
    """Plot the median and maximum age of each dataset by minute: as planned above, all in turn below."""
    titles = ("planned by worth and age", "all symbols, all datasets, in turn")
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, subplot_titles=titles, vertical_spacing=0.08)
    for row, day in enumerate((planned, in_turn), start=1):
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
    figure.update_xaxes(title_text="hours from an empty store", row=2, col=1)
    figure.update_layout(template="plotly_white", height=900, title="Age of what is known")
    return figure


def write_figure(figure: go.Figure, path: Path) -> None:
    """Write a figure as one HTML file, atomically."""
    replace_file(path, figure.to_html(include_plotlyjs=True, full_html=True).encode())
