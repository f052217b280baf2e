"""The plots of the report."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from quant_assets.evaluation.price_bars import STEP, PriceBars
from quant_assets.evaluation.record import cumulated
from quant_assets.evaluation.statistics import DAY_MS, is_too_few

Record = Mapping[str, Any]

COLOURS: Final = ("#2563eb", "#d97706", "#059669", "#9333ea", "#dc2626", "#0891b2")
#: Of strategies and groups with too few trades to say anything.
GREY: Final = "#9ca3af"
#: Points of a curve, and trades of a scatter plot, that a browser draws without delay.
MAX_POINTS: Final = 3_000
#: Bars shown before the entry and after the exit of a trade.
CONTEXT_BARS: Final = 24


def curves(trades: pd.DataFrame) -> go.Figure:
    """Plot the summed net results of each strategy by exit time; `trades` are those that count."""
    figure = go.Figure()
    for colour, name, rows in _strategies(trades):
        curve = _thinned(cumulated(rows))
        figure.add_scatter(
            x=pd.to_datetime(curve["exit_ms"], unit="ms"),
            y=curve["cumulated_r"],
            name=name,
            mode="lines",
            line={"color": colour, "shape": "hv"},
        )
    return _styled(figure, "Summed results by time of exit", "R")


def quartiles(records: Mapping[str, Record]) -> go.Figure:
    """Plot the mean net result of each score quartile with its interval."""
    figure = go.Figure()
    for number, (colour, (name, record)) in enumerate(zip(_colours(), records.items(), strict=False)):
        beside = 0.08 * (number - (len(records) - 1) / 2)  # intervals of several strategies do not cover each other
        parts = [part for part in record["quartiles"] if part["n"]]
        interval = [part["mean_r_interval"] or [part["mean_r"]] * 2 for part in parts]
        means = [part["mean_r"] for part in parts]
        figure.add_scatter(
            x=[part["quartile"] + beside for part in parts],
            y=means,
            error_y={
                "type": "data",
                "array": [high - mean for mean, (_, high) in zip(means, interval, strict=True)],
                "arrayminus": [mean - low for mean, (low, _) in zip(means, interval, strict=True)],
                "color": colour if any(not part["too_few"] for part in parts) else GREY,
            },
            name=name,
            mode="markers",
            marker={"color": [GREY if part["too_few"] else colour for part in parts], "size": 9},
            text=[
                f"n {part['n']}, score {part['min_score']:g} to {part['max_score']:g}"
                + (", too few to say" if part["too_few"] else "")
                for part in parts
            ],
        )
    figure.update_xaxes(tickvals=[1, 2, 3, 4], title_text="score quartile, the highest at the right")
    return _styled(figure, "Mean result by score", "R")


def targets(records: Mapping[str, Record]) -> go.Figure:
    """Plot the share of trades that reached the target beside the share that would break even.

    Strategies with too few trades are left out.
    """
    known = {
        name: record for name, record in records.items() if record["target_share"] is not None and not record["too_few"]
    }
    figure = go.Figure()
    for key, label, colour in (
        ("target_share", "reached the target", "#2563eb"),
        ("break_even_share", "needed to break even", "#9ca3af"),
    ):
        figure.add_bar(x=list(known), y=[record[key] for record in known.values()], name=label, marker_color=colour)
    figure.update_yaxes(tickformat=".0%")
    return _styled(figure, "Trades that ended at target or stop", "")


def excursions(trades: pd.DataFrame) -> go.Figure:
    """Plot how far each trade went against the position and in its favour; `trades` are those that count.

    Of many trades, some are drawn at random.
    """
    figure = go.Figure()
    shown = trades.sample(MAX_POINTS, random_state=0).sort_index() if len(trades) > MAX_POINTS else trades
    for colour, name, rows in _strategies(shown):
        figure.add_scatter(
            x=rows["mae_r"],
            y=rows["mfe_r"],
            name=name,
            mode="markers",
            marker={"color": colour, "size": 5, "opacity": 0.5},
            text=[
                " ".join(map(str, row)) for row in zip(rows["exchange"], rows["symbol"], rows["window"], strict=True)
            ],
        )
    figure.update_xaxes(title_text="furthest against the position (MAE), R")
    title = "Excursions" if len(shown) == len(trades) else f"Excursions of {len(shown):,} of {len(trades):,} trades"
    return _styled(figure, title, "furthest in its favour (MFE), R")


def days(trades: pd.DataFrame) -> go.Figure:
    """Plot the sum of the net results of the entries of each UTC day; `trades` are those that count."""
    figure = go.Figure()
    for colour, name, rows in _strategies(trades):
        sums = rows.groupby(rows["entry_ms"] // DAY_MS)["net_r"].sum()
        figure.add_bar(
            x=pd.to_datetime(sums.index.to_numpy() * DAY_MS, unit="ms"), y=sums, name=name, marker_color=colour
        )
    return _styled(figure, "Results by day of entry", "R")


def trade_chart(trade: Mapping[Hashable, Any], bars: PriceBars) -> go.Figure:
    """Plot the bars around a trade with its entry, stop, target and exit."""
    first = max(int(bars.time_ms.searchsorted(trade["entry_ms"])) - CONTEXT_BARS, 0)
    last = int(bars.time_ms.searchsorted(trade["exit_ms"])) + CONTEXT_BARS
    shown = slice(first, last)
    figure = go.Figure()
    figure.add_candlestick(
        x=pd.to_datetime(bars.time_ms[shown], unit="ms"),
        open=bars.open[shown],
        high=bars.high[shown],
        low=bars.low[shown],
        close=bars.close[shown],
        showlegend=False,
    )
    held = pd.to_datetime(np.array([trade["entry_ms"], max(trade["exit_ms"], trade["entry_ms"] + STEP)]), unit="ms")
    for name, colour in (("entry", "#2563eb"), ("stop", "#dc2626"), ("target", "#059669")):
        figure.add_scatter(x=held, y=[trade[name]] * 2, mode="lines", line={"color": colour, "width": 2}, name=name)
    figure.add_scatter(x=[held[1]], y=[trade["exit"]], mode="markers", marker={"size": 9, "color": "#111"}, name="exit")
    figure.update_xaxes(rangeslider_visible=False)
    title = f"{trade['strategy']} {trade['side']} {trade['symbol']} on {trade['exchange']}: {trade['net_r']:+.2f} R"
    return _styled(figure, title, "", height=300)


def _strategies(trades: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Yield colour, name and trades of each strategy; those with too few trades are grey."""
    for colour, (name, rows) in zip(_colours(), trades.groupby("strategy", observed=True, sort=True), strict=False):
        days = rows["entry_ms"].floordiv(DAY_MS).nunique()
        yield (GREY if is_too_few(len(rows), days) else colour), str(name), rows


def _thinned(curve: pd.DataFrame) -> pd.DataFrame:
    """Return at most MAX_POINTS rows of a curve, the first and the last among them."""
    if len(curve) <= MAX_POINTS:
        return curve
    return curve.iloc[np.linspace(0, len(curve) - 1, MAX_POINTS).astype(np.int64)]


def _colours() -> list[str]:
    return list(COLOURS) * 8


def _styled(figure: go.Figure, title: str, unit: str, height: int = 360) -> go.Figure:
    if unit == "R":
        figure.add_hline(y=0, line={"color": "#9ca3af", "width": 1})
    figure.update_yaxes(title_text=unit)
    return figure.update_layout(
        template="plotly_white", title=title, height=height, margin={"l": 60, "r": 20, "t": 50, "b": 40}
    )
