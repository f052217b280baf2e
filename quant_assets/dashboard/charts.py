"""The series of one market's charts: candles, RSI with trendlines, open interest, liquidations.

The time of a bar is its opening, also for the forming bar, to which trendlines are projected.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pandas as pd

from quant_assets.common.settings import Settings
from quant_assets.common.timeframes import HTF, LTF, STEP_MS
from quant_assets.common.windows import Window
from quant_assets.dashboard.feed_repository import FeedDocument, Json
from quant_assets.dashboard.market_data import (
    Source,
    dataset_sources,
    read_derivative_bars,
    store_place,
)
from quant_assets.dashboard.own_charts import own_charts
from quant_assets.dashboard.record import trade_rows
from quant_assets.derivatives.datasets import ENTRIES, DatasetSpec
from quant_assets.providers.registry import DEFAULT, provider_name
from quant_assets.signals import Strategy
from quant_assets.signals.features.bars import Bars, Floats, bars_of
from quant_assets.signals.features.indicators import ema, rsi
from quant_assets.storage.lake import Lake

#: Bars on the chart: on 4h as many as a trendline may reach back, on 15m two days.
CHART_BARS: Final = {HTF: 150, LTF: 192}
DERIVATIVE_HOURS: Final = 48
#: The datasets in the order of the series: those with a chart come first.
CHARTED_FIRST: Final = sorted(ENTRIES, key=lambda spec: not spec.chart)
#: What is told of a trade on the chart.
_TRADE_KEYS: Final = (
    *("strategy", "side", "entry_ms", "entry", "stop", "target", "exit_ms", "exit", "outcome", "net_r"),
)
#: Periods of the moving averages, in bars of 4h.
EMA_PERIODS: Final = (50, 200)


def market_chart(
    document: FeedDocument,
    signals: Sequence[Json],
    settings: Settings,
    strategies: Mapping[str, Strategy],
    trades: pd.DataFrame,
) -> Json:
    """Return the series of a market's charts; `signals` are the feed's signals of the market, at least one.

    `strategies` are those in force by name, whose own indicators are drawn; `trades` are the past trades of the market.
    A list is empty if nothing is stored for it; an unknown number is None.
    """
    window, lake = document.window, Lake(settings.lake_place)
    exchange, symbol = signals[0]["exchange"], signals[0]["symbol"]
    table = _candles(lake, exchange, symbol)
    htf, htf_open = _bars(table, HTF, window)
    ltf, ltf_open = _bars(table, LTF, window)
    sources = dataset_sources(lake, window, exchange, symbol)
    store = store_place(settings)

    def dataset_series(spec: DatasetSpec) -> Json:
        source = sources.get(spec.name)
        if not spec.chart:
            return _source(source, window)
        symbol = source.symbol if source else ""
        bars = read_derivative_bars(
            store, spec.name, symbol, source.exchange if source else "", window, DERIVATIVE_HOURS
        )
        series = {key: bars.columns[column] for key, column in spec.chart.items()}
        through = {"known_through": bars.through_ms} if spec.is_sparse else {}
        return {**_source(source, window), "time": bars.times_ms, **series, **through}

    return {
        "window": window.key,
        "as_of": document.feed["as_of"],
        "simulated": document.feed["simulated"],
        "exchange": exchange,
        "symbol": symbol,
        "signals": list(signals),
        "candles": {HTF: _candle_lists(htf, htf_open, HTF), LTF: _candle_lists(ltf, ltf_open, LTF)},
        "forming": _forming(table, htf, window),
        "averages": {
            "timeframe": HTF,
            "time": _tail(htf.time_ms, HTF),
            **{f"ema{period}": _tail(ema(htf.close, period), HTF) for period in EMA_PERIODS},
        },
        "rsi": {"timeframe": HTF, "time": _tail(htf.time_ms, HTF), "value": _tail(rsi(htf.close), HTF)},
        "lines": _lines(signals, htf),
        "trades": [{name: row[name] for name in _TRADE_KEYS} for row in trade_rows(trades) if row["entry"] is not None],
        "indicators": own_charts(
            [strategies[name] for signal in signals if (name := signal["strategy_name"]) in strategies],
            table,
            window,
            CHART_BARS,
        ),
        **{spec.name: dataset_series(spec) for spec in CHARTED_FIRST},
    }


def _candles(lake: Lake, exchange: str, symbol: str) -> pd.DataFrame:
    table = lake.read_market(["candles"], None, exchange, symbol)
    if table is None:
        return pd.DataFrame(columns=["timeframe", "time_ms", "open", "high", "low", "close", "volume"])
    frame: pd.DataFrame = table.to_pandas()
    return frame


def _bars(table: pd.DataFrame, timeframe: str, window: Window) -> tuple[Bars, Floats]:
    """Return the closed bars as the features use them, and their opening prices."""
    part = table[table["timeframe"] == timeframe]
    bars = bars_of(part, timeframe, window)
    first = int(part["time_ms"].searchsorted(bars.time_ms[0])) if len(bars) else 0
    return bars, part["open"].to_numpy(np.float64)[first : first + len(bars)]


def _forming(table: pd.DataFrame, htf: Bars, window: Window) -> Json | None:
    """Return the 4h bar that is forming at the window's end, built from its closed 15m bars.

    None if a 4h bar closes at the window's end, or no 15m bar of it is known.
    """
    if not len(htf):
        return None
    step = STEP_MS[HTF]
    opens = int(window.end_ms - (window.end_ms - int(htf.time_ms[-1])) % step)
    ltf, ltf_open = _bars(table, LTF, window)
    first = int(ltf.time_ms.searchsorted(opens))
    if first == len(ltf):
        return None
    return {
        "timeframe": HTF,
        "time": opens,
        "through": int(ltf.time_ms[-1]) + STEP_MS[LTF],
        "bars": len(ltf) - first,
        "open": float(ltf_open[first]),
        "high": float(ltf.high[first:].max()),
        "low": float(ltf.low[first:].min()),
        "close": float(ltf.close[-1]),
        "volume": float(ltf.volume[first:].sum()),
    }


def _candle_lists(bars: Bars, opening: Floats, timeframe: str) -> Json:
    return {
        "time": _tail(bars.time_ms, timeframe),
        "open": _tail(opening, timeframe),
        "high": _tail(bars.high, timeframe),
        "low": _tail(bars.low, timeframe),
        "close": _tail(bars.close, timeframe),
        "volume": _tail(bars.volume, timeframe),
    }


def _tail(values: Any, timeframe: str) -> list[Any]:
    return [None if value != value else value for value in values[-CHART_BARS[timeframe] :].tolist()]  # noqa: PLR0124 - NaN


def _lines(signals: Sequence[Json], bars: Bars) -> list[Json]:
    """Return the market's current trendlines, and the lines that breakouts broke with the strategies that used them."""
    lines = [
        _line(
            kind,
            bars,
            {"time": line["pivot_1"]["time"], "value": line["pivot_1"]["value"]},
            {"time": line["pivot_2"]["time"], "value": line["pivot_2"]["value"]},
            line["slope"],
            {"touches": line["touches"], "reverse_rsi_price": line["reverse_rsi_price"], "strategies": []},
        )
        for kind, line in signals[0]["observability"]["rsi_visuals"].items()
    ]
    broken: dict[tuple[float, float], Json] = {}
    for signal in signals:
        line = (signal["setup"] or {}).get("trendline")
        if line is None:
            continue
        same = broken.get((line["m"], line["c"]))
        if same is not None:
            same["strategies"].append(signal["strategy_name"])
            continue
        broken[line["m"], line["c"]] = _line(
            "broken",
            bars,
            {"time": line["start_time"], "value": line["start_rsi"]},
            {"time": line["end_time"], "value": line["end_rsi"]},
            line["m"],
            {"touches": None, "reverse_rsi_price": None, "strategies": [signal["strategy_name"]]},
        )
    return lines + list(broken.values())


def _line(kind: str, bars: Bars, first: Json, second: Json, slope: float, more: Mapping[str, Any]) -> Json:
    """Return a trendline: solid between its pivots, projected from there to the forming bar.

    The slope is per bar, and bars may be missing, so the points are those of the known bars.
    """
    step = STEP_MS[HTF]
    times = bars.time_ms[bars.time_ms >= first["time"]].tolist()
    if not times or times[0] != first["time"] or second["time"] not in times:
        times = [first["time"], second["time"]]  # the candles are no longer stored, the pivots are known from the feed
        bars_between = max(round((second["value"] - first["value"]) / slope), 1) if slope else 1
        indices: list[int] = [0, bars_between]
    else:
        times.append(times[-1] + step)
        indices = list(range(len(times)))
    values = [first["value"] + slope * index for index in indices]
    turn = times.index(second["time"])
    return {
        "kind": kind,
        "pivots": [first, second],
        "slope": slope,
        "solid": {"time": _corners(times, 0, turn), "value": _at(values, _corner_indices(times, 0, turn))},
        "projected": {
            "time": _corners(times, turn, len(times) - 1),
            "value": _at(values, _corner_indices(times, turn, len(times) - 1)),
        },
        **more,
    }


def _corner_indices(times: Sequence[int], start: int, stop: int) -> list[int]:
    """Return start and stop, and the bars between them at which time jumps, where the line bends on the time axis."""
    steps = [later - earlier for earlier, later in pairwise(times)]
    bends = [index for index in range(start + 1, stop) if steps[index - 1] != steps[index]]
    return list(dict.fromkeys([start, *bends, stop]))


def _corners(times: Sequence[int], start: int, stop: int) -> list[int]:
    return [times[index] for index in _corner_indices(times, start, stop)]


def _at(values: Sequence[float], indices: Sequence[int]) -> list[float]:
    return [values[index] for index in indices]


def _source(source: Source | None, window: Window) -> Json:
    """Return the source of a dataset; every value is None if the window has no table."""
    if source is None:
        return dict.fromkeys(("status", "provider", "coinalyze_symbol", "reference_exchange", "unit", "age_seconds"))
    closed = source.closed_at_ms
    provider = provider_name(source.symbol)
    return {
        "status": source.status,
        "provider": provider or None,
        "coinalyze_symbol": source.symbol if provider == DEFAULT.name else None,
        "reference_exchange": source.exchange or None,
        "unit": source.unit or None,
        "age_seconds": None if closed is None else (window.end_ms - closed) / 1000,
    }
