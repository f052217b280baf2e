"""Derivatives data that hang together with a market's candles.

Causal: a bar depends on bars up to itself alone, at most WARM_UP of them, and on noise hashed from the symbol and
the bar's time. Open interest builds in trends and drops at jumps, funding follows momentum, the ratio leans the
way the crowd goes, and liquidations fall on large moves: longs on drops, shorts on rises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant_assets.emulator.hashing import Floats, normal, share_of, smooth, uniform
from quant_assets.emulator.simulated import BAR_SECONDS, Candles

WARM_UP = 288
"""Bars before the first wanted one that the filters look back on."""

Bars = dict[str, NDArray[Any]]
"""Bars of one dataset: `t` (open, UNIX seconds, int64) and the fields of a point of that endpoint."""

DATASETS = (
    "open_interest",
    "funding_rate",
    "predicted_funding_rate",
    "long_short_ratio",
    "liquidations",
    "ohlcv",
)

FUNDING_DECIMALS = 6
_MOMENTUM_DEVIATION = 0.13  # of the filtered momentum of a random walk: brings it to about 1


@dataclass(frozen=True, slots=True)
class Nature:
    """What is a contract's own, besides its candles.

    `key` of its noise; `open_interest` in units of the base at an even moment; whether amounts are shown in the
    quote (`in_quote`), and with how many `decimals`; the interest part of its funding in percent.
    """

    key: int
    open_interest: float
    in_quote: bool = False
    decimals: int = 0
    interest_pct: float = 0.01


def recent(values: Floats, half_life: int, *, missing_is_zero: bool = False) -> Floats:
    """Return the mean of the last values at each place, the newest weighing most, without a look ahead.

    Where fewer came before, it is the mean of those there are, or of those and zeros.
    """
    length, count = WARM_UP // 2, len(values)
    kernel = 0.5 ** (np.arange(length) / half_life)
    sums = np.convolve(values, kernel)[:count]
    known = np.full(count, length - 1) if missing_is_zero else np.minimum(np.arange(count), length - 1)
    return np.asarray(sums / np.cumsum(kernel)[known], dtype=np.float64)


def derive(candles: Candles, nature: Nature) -> Mapping[str, Bars]:
    """Return the bars of every dataset for the candles given (ascending, 15 minutes each, gaps allowed)."""
    if not len(candles.t):
        return {dataset: {"t": candles.t} for dataset in DATASETS}
    tide = _Tide.of(candles)
    interest = _open_interest(candles, nature, tide)
    return {
        "open_interest": interest,
        "funding_rate": _funding(candles, nature, tide.momentum, 11),
        "predicted_funding_rate": _funding(candles, nature, tide.quick_momentum, 12),
        "long_short_ratio": _long_short(candles, nature, tide),
        "liquidations": _liquidations(candles, nature, tide, interest["c"]),
        "ohlcv": _ohlcv(candles, nature, tide),
    }


def last_bars(bars: Mapping[str, Bars], start: int, stop: int) -> Mapping[str, Bars]:
    """Keep the bars of every dataset that open in [start, stop)."""
    kept: dict[str, Bars] = {}
    for dataset, fields in bars.items():
        left, right = np.searchsorted(fields["t"], [start, stop])
        kept[dataset] = {name: values[left:right].copy() for name, values in fields.items()}
    return kept


@dataclass(frozen=True, slots=True)
class _Tide:
    """What the candles say, bar by bar: `shock` is the return in deviations of what came before."""

    shock: Floats
    momentum: Floats
    quick_momentum: Floats

    @classmethod
    def of(cls, candles: Candles) -> _Tide:
        opened = np.r_[candles.o[0], candles.c[:-1]]
        returns = np.log(candles.c / opened)
        deviation = np.sqrt(recent(returns**2, 48)) + 5e-4
        shock = returns / np.r_[deviation[0], deviation[:-1]]
        return cls(
            shock,
            recent(shock, 24, missing_is_zero=True) / _MOMENTUM_DEVIATION,
            recent(shock, 6, missing_is_zero=True) / (2 * _MOMENTUM_DEVIATION),
        )


def _path(
    t: NDArray[np.int64], closes: Floats, wicks: tuple[Floats, Floats], finish: Callable[[Floats], Floats]
) -> Bars:
    """Make OHLC bars that open where the last one closed."""
    opens = np.r_[closes[0], closes[:-1]]
    highs = np.maximum(opens, closes) + wicks[0]
    lows = np.minimum(opens, closes) - wicks[1]
    return {"t": t, "o": finish(opens), "h": finish(highs), "l": finish(lows), "c": finish(closes)}


def _open_interest(candles: Candles, nature: Nature, tide: _Tide) -> Bars:
    index = candles.t // BAR_SECONDS
    jump = np.minimum(np.maximum(np.abs(tide.shock) - 3.0, 0.0), 6.0)
    dropped = np.convolve(jump, 0.5 ** (np.arange(WARM_UP // 2) / 40))[: len(jump)]
    built = 0.6 * recent(np.abs(tide.momentum), 20) + 0.4 * recent(np.abs(tide.quick_momentum), 10)
    noise = (
        0.16 * smooth(nature.key + 1, index, 700)
        + 0.025 * smooth(nature.key + 2, index, 96)
        + 0.010 * smooth(nature.key + 3, index, 17)
        + 0.0016 * normal(nature.key + 4, index)
    )
    closes = nature.open_interest * np.exp(noise + 0.15 * (built - 0.8) - 0.012 * dropped)
    if nature.in_quote:
        closes = closes * candles.c
    reach = 0.0015 * closes
    wicks = reach * uniform(nature.key + 5, index) ** 2, reach * uniform(nature.key + 6, index) ** 2
    return _path(candles.t, closes, wicks, lambda values: np.round(values, nature.decimals))


def _funding(candles: Candles, nature: Nature, momentum: Floats, lane: int) -> Bars:
    """Premium p and interest i give p + clip(i − p, ±0.05), as exchanges have it: mostly i itself."""
    index = candles.t // BAR_SECONDS
    lean = 0.045 * (share_of(nature.key, "premium") + share_of(nature.key, "premium", 2) - 1.0)
    premium = lean + 0.034 * momentum + 0.012 * smooth(nature.key + lane, index, 32)
    premium += 0.025 * np.sign(momentum) * np.maximum(np.abs(momentum) - 1.0, 0.0) ** 2
    premium = np.clip(premium, -2.0, 2.0)
    rate = premium + np.clip(nature.interest_pct - premium, -0.05, 0.05)
    still = np.zeros(len(rate))
    return _path(candles.t, rate, (still, still), lambda values: np.round(values, FUNDING_DECIMALS) + 0.0)


def _long_short(candles: Candles, nature: Nature, tide: _Tide) -> Bars:
    index = candles.t // BAR_SECONDS
    lean = 0.25 + 0.7 * (share_of(nature.key, "crowd") - 0.5)
    logs = (
        lean
        + 0.22 * np.tanh(0.7 * tide.momentum)
        + 0.10 * smooth(nature.key + 21, index, 96)
        + 0.008 * normal(nature.key + 22, index)
    )
    longs = np.round(100.0 / (1.0 + np.exp(-logs)), 2)
    shorts = np.round(100.0 - longs, 2)
    return {"t": candles.t, "r": np.round(longs / shorts, 4), "l": longs, "s": shorts}


def _liquidations(candles: Candles, nature: Nature, tide: _Tide, interest: Floats) -> Bars:
    index = candles.t // BAR_SECONDS
    beyond = np.maximum(np.abs(tide.shock) - (0.9 + 1.6 * uniform(nature.key + 31, index)), 0.0)
    amount = 2e-4 * interest * beyond**1.7 * np.exp(0.9 * normal(nature.key + 32, index))
    against = 0.06 * amount * (uniform(nature.key + 33, index) < 0.2)
    falling = tide.shock < 0
    longs = np.round(np.where(falling, amount, against), nature.decimals)
    shorts = np.round(np.where(falling, against, amount), nature.decimals)
    some = (longs > 0) | (shorts > 0)
    return {"t": candles.t[some], "l": longs[some], "s": shorts[some]}


def _ohlcv(candles: Candles, nature: Nature, tide: _Tide) -> Bars:
    index = candles.t // BAR_SECONDS
    bought = np.clip(0.5 + 0.07 * tide.shock + 0.03 * normal(nature.key + 41, index), 0.05, 0.95)
    trades = np.floor(20.0 + np.sqrt(candles.v * candles.c) * (0.5 + uniform(nature.key + 42, index)))
    fields: Bars = dict(zip(("t", "o", "h", "l", "c", "v"), candles, strict=True))
    fields["bv"] = np.round(candles.v * bought, 3)
    fields["tx"] = trades
    fields["btx"] = np.floor(trades * bought)
    return fields
