"""Derive plausible derivatives data from a market's candles.

A bar depends only on candles up to itself, at most WARM_UP_BARS of them, and on noise hashed from the symbol and
the bar's time. Open interest builds up in trends and drops at jumps, funding follows momentum, the long/short ratio
follows the trend, and large moves liquidate: longs on drops, shorts on rises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant_assets.emulator.noise import Floats, hash_fraction, normal, uniform, value_noise
from quant_assets.emulator.simulated_market import BAR_SECONDS, Candles

WARM_UP_BARS = 288
"""How many bars the filters look back."""

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
class ContractProfile:
    """Parameters of a contract, besides its candles.

    `key` seeds its noise; `open_interest` is its typical value in units of the base; `in_quote` tells whether amounts
    are in the quote asset; `decimals` are those of amounts; `interest_pct` is the interest part of its funding.
    """

    key: int
    open_interest: float
    in_quote: bool = False
    decimals: int = 0
    interest_pct: float = 0.01


def decayed_mean(values: Floats, half_life: int, *, missing_is_zero: bool = False) -> Floats:
    """Return the exponentially weighted mean of the last WARM_UP_BARS / 2 values at each place.

    The first places use the values so far; with `missing_is_zero` the missing ones count as zeros.
    """
    length, count = WARM_UP_BARS // 2, len(values)
    kernel = 0.5 ** (np.arange(length) / half_life)
    sums = np.convolve(values, kernel)[:count]
    known = np.full(count, length - 1) if missing_is_zero else np.minimum(np.arange(count), length - 1)
    return np.asarray(sums / np.cumsum(kernel)[known], dtype=np.float64)


def derive_datasets(candles: Candles, profile: ContractProfile) -> Mapping[str, Bars]:
    """Return the bars of every dataset for these candles (ascending, 15 minutes each, gaps allowed)."""
    if not len(candles.t):
        return {dataset: {"t": candles.t} for dataset in DATASETS}
    state = _MarketState.of(candles)
    interest = _open_interest(candles, profile, state)
    return {
        "open_interest": interest,
        "funding_rate": _funding(candles, profile, state.momentum, 11),
        "predicted_funding_rate": _funding(candles, profile, state.quick_momentum, 12),
        "long_short_ratio": _long_short(candles, profile, state),
        "liquidations": _liquidations(candles, profile, state, interest["c"]),
        "ohlcv": _ohlcv(candles, profile, state),
    }


def slice_datasets(bars: Mapping[str, Bars], start: int, stop: int) -> Mapping[str, Bars]:
    """Return the bars of every dataset that open in [start, stop), UNIX seconds."""
    kept: dict[str, Bars] = {}
    for dataset, fields in bars.items():
        left, right = np.searchsorted(fields["t"], [start, stop])
        kept[dataset] = {name: values[left:right].copy() for name, values in fields.items()}
    return kept


@dataclass(frozen=True, slots=True)
class _MarketState:
    """Features of the candles, bar by bar; `shock` is the return in standard deviations of earlier returns."""

    shock: Floats
    momentum: Floats
    quick_momentum: Floats

    @classmethod
    def of(cls, candles: Candles) -> _MarketState:
        opened = np.r_[candles.o[0], candles.c[:-1]]
        returns = np.log(candles.c / opened)
        deviation = np.sqrt(decayed_mean(returns**2, 48)) + 5e-4
        shock = returns / np.r_[deviation[0], deviation[:-1]]
        return cls(
            shock,
            decayed_mean(shock, 24, missing_is_zero=True) / _MOMENTUM_DEVIATION,
            decayed_mean(shock, 6, missing_is_zero=True) / (2 * _MOMENTUM_DEVIATION),
        )


def _ohlc(
    t: NDArray[np.int64], closes: Floats, wicks: tuple[Floats, Floats], finish: Callable[[Floats], Floats]
) -> Bars:
    """Return OHLC bars that open at the previous close; `finish` rounds the values."""
    opens = np.r_[closes[0], closes[:-1]]
    highs = np.maximum(opens, closes) + wicks[0]
    lows = np.minimum(opens, closes) - wicks[1]
    return {"t": t, "o": finish(opens), "h": finish(highs), "l": finish(lows), "c": finish(closes)}


def _open_interest(candles: Candles, profile: ContractProfile, state: _MarketState) -> Bars:
    index = candles.t // BAR_SECONDS
    jump = np.minimum(np.maximum(np.abs(state.shock) - 3.0, 0.0), 6.0)
    dropped = np.convolve(jump, 0.5 ** (np.arange(WARM_UP_BARS // 2) / 40))[: len(jump)]
    built = 0.6 * decayed_mean(np.abs(state.momentum), 20) + 0.4 * decayed_mean(np.abs(state.quick_momentum), 10)
    noise = (
        0.16 * value_noise(profile.key + 1, index, 700)
        + 0.025 * value_noise(profile.key + 2, index, 96)
        + 0.010 * value_noise(profile.key + 3, index, 17)
        + 0.0016 * normal(profile.key + 4, index)
    )
    closes = profile.open_interest * np.exp(noise + 0.15 * (built - 0.8) - 0.012 * dropped)
    if profile.in_quote:
        closes = closes * candles.c
    reach = 0.0015 * closes
    wicks = reach * uniform(profile.key + 5, index) ** 2, reach * uniform(profile.key + 6, index) ** 2
    return _ohlc(candles.t, closes, wicks, lambda values: np.round(values, profile.decimals))


def _funding(candles: Candles, profile: ContractProfile, momentum: Floats, noise_offset: int) -> Bars:
    """Return funding rates p + clip(i − p, ±0.05) of premium p and interest i, in percent, as exchanges do."""
    index = candles.t // BAR_SECONDS
    lean = 0.045 * (hash_fraction(profile.key, "premium") + hash_fraction(profile.key, "premium", 2) - 1.0)
    premium = lean + 0.034 * momentum + 0.012 * value_noise(profile.key + noise_offset, index, 32)
    premium += 0.025 * np.sign(momentum) * np.maximum(np.abs(momentum) - 1.0, 0.0) ** 2
    premium = np.clip(premium, -2.0, 2.0)
    rate = premium + np.clip(profile.interest_pct - premium, -0.05, 0.05)
    still = np.zeros(len(rate))
    return _ohlc(candles.t, rate, (still, still), lambda values: np.round(values, FUNDING_DECIMALS) + 0.0)


def _long_short(candles: Candles, profile: ContractProfile, state: _MarketState) -> Bars:
    index = candles.t // BAR_SECONDS
    lean = 0.25 + 0.7 * (hash_fraction(profile.key, "crowd") - 0.5)
    logs = (
        lean
        + 0.22 * np.tanh(0.7 * state.momentum)
        + 0.10 * value_noise(profile.key + 21, index, 96)
        + 0.008 * normal(profile.key + 22, index)
    )
    longs = np.round(100.0 / (1.0 + np.exp(-logs)), 2)
    shorts = np.round(100.0 - longs, 2)
    return {"t": candles.t, "r": np.round(longs / shorts, 4), "l": longs, "s": shorts}


def _liquidations(candles: Candles, profile: ContractProfile, state: _MarketState, interest: Floats) -> Bars:
    index = candles.t // BAR_SECONDS
    beyond = np.maximum(np.abs(state.shock) - (0.9 + 1.6 * uniform(profile.key + 31, index)), 0.0)
    amount = 2e-4 * interest * beyond**1.7 * np.exp(0.9 * normal(profile.key + 32, index))
    against = 0.06 * amount * (uniform(profile.key + 33, index) < 0.2)
    falling = state.shock < 0
    longs = np.round(np.where(falling, amount, against), profile.decimals)
    shorts = np.round(np.where(falling, against, amount), profile.decimals)
    some = (longs > 0) | (shorts > 0)
    return {"t": candles.t[some], "l": longs[some], "s": shorts[some]}


def _ohlcv(candles: Candles, profile: ContractProfile, state: _MarketState) -> Bars:
    index = candles.t // BAR_SECONDS
    bought = np.clip(0.5 + 0.07 * state.shock + 0.03 * normal(profile.key + 41, index), 0.05, 0.95)
    trades = np.floor(20.0 + np.sqrt(candles.v * candles.c) * (0.5 + uniform(profile.key + 42, index)))
    fields: Bars = dict(zip(("t", "o", "h", "l", "c", "v"), candles, strict=True))
    fields["bv"] = np.round(candles.v * bought, 3)
    fields["tx"] = trades
    fields["btx"] = np.floor(trades * bought)
    return fields
