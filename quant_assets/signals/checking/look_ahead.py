"""Find own indicators whose values before a moment depend on bars after it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from quant_assets.common.windows import Window
from quant_assets.signals.checking.finding import Finding, Kind
from quant_assets.signals.checking.histories import FACTORS, changed_after, difference, rows_closed_by, scale_of
from quant_assets.signals.features.candle_features import MIN_BARS
from quant_assets.signals.own.market_candles import Frames
from quant_assets.signals.own.series import Series, own_series
from quant_assets.signals.strategy import Strategy


@dataclass(frozen=True)
class Reference:
    """A market's whole history, and the series of a strategy's indicators on it."""

    market: tuple[str, str]
    bars: Frames
    series: Series
    scales: Mapping[str, float]

    @classmethod
    def of(cls, strategy: Strategy, market: tuple[str, str], bars: Frames) -> Reference:
        """Compute the series; raises what the strategy raises, and IndicatorsError."""
        series = own_series(strategy, bars)
        scales = {name: scale_of(values) for by_name in series.values() for name, values in by_name.items()}
        return cls(market, bars, series, scales)

    @property
    def name(self) -> str:
        """Return the market for a message."""
        return " ".join(self.market)


def look_ahead_at(strategy: Strategy, reference: Reference, window: Window) -> Iterator[Finding]:
    """Yield the indicators whose values before a window's end change with the bars after it."""
    yield from _compare(strategy, reference, rows_closed_by(reference.bars, window.end_ms), window.key)


def look_ahead_in_short_history(strategy: Strategy, reference: Reference, bars: int) -> Iterator[Finding]:
    """Yield the indicators whose first values, of `bars` bars of each timeframe, change with the bars after them."""
    yield from _compare(strategy, reference, {tf: min(bars, len(frame)) for tf, frame in reference.bars.items()}, "")


def _compare(strategy: Strategy, reference: Reference, rows: Mapping[str, int], window: str) -> Iterator[Finding]:
    for what, factor in FACTORS.items():
        try:
            found = own_series(strategy, changed_after(reference.bars, rows, factor))
        except Exception as error:  # noqa: BLE001 - a strategy may raise anything
            # Markets with fewer bars are not judged, so their indicators are not computed.
            if min(rows.values()) >= MIN_BARS:
                raised = f"raises {type(error).__name__} on a history of {min(rows.values())} bars ({error})"
                yield Finding(Kind.ERROR, "", reference.name, window, None, raised)
            continue
        for timeframe, by_name in reference.series.items():
            count = rows[timeframe]
            for name, values in by_name.items():
                other = found.get(timeframe, {}).get(name)
                if other is None:
                    if count >= MIN_BARS:
                        missing = f"is not returned on a history of {count} bars"
                        yield Finding(Kind.ERROR, f"{name} ({timeframe})", reference.name, window, None, missing)
                    continue
                if count < MIN_BARS and np.isnan(other[:count]).all():
                    continue  # libraries return nothing for a history that is shorter than a period
                size = difference(values[:count], other[:count], reference.scales[name])
                if size != 0.0:
                    known = "changes" if size else "becomes known or unknown"
                    history = "" if window else f" of {count} bars"
                    text = f"{known} before the cut{history} when the bars after it {what}"
                    yield Finding(Kind.LOOK_AHEAD, f"{name} ({timeframe})", reference.name, window, size, text)
