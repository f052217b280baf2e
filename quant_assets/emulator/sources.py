"""Provide the bars of one contract: simulated, recorded, or from formulas."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from quant_assets.emulator.derivatives import (
    FUNDING_DECIMALS,
    WARM_UP_BARS,
    Bars,
    ContractProfile,
    derive_datasets,
    slice_datasets,
)
from quant_assets.emulator.noise import Floats, Integers, hash_key, uniform
from quant_assets.emulator.simulated_market import BAR_SECONDS, Candles, SimulatedMarket, simulate_candles

BLOCK_BARS = 768
"""How many bars of a simulated market are derived and cached together."""

_MAX_CACHED_BLOCKS = 4


class Source(Protocol):
    """A source of the bars of one contract.

    `begins` is the open of its oldest bar, `ends` the close of its newest one (None for no end), both UNIX seconds;
    `decimals` are those of an amount.
    """

    @property
    def begins(self) -> int: ...  # noqa: D102 - said above

    @property
    def ends(self) -> int | None: ...  # noqa: D102

    @property
    def decimals(self) -> int: ...  # noqa: D102

    def bars(self, dataset: str, start: int, stop: int) -> Bars:
        """Return the bars of a dataset that open in [start, stop), all as if complete."""

    def bar_in_progress(self, start: int, now: float) -> Candles | None:
        """Return the candle that opened at `start` as of `now`, None if only complete bars are known."""


@dataclass(frozen=True)
class SimulatedSource:
    """A contract on a simulated market, from `begins` until it is delisted at `ends` (None: never)."""

    seed: int
    market: SimulatedMarket
    profile: ContractProfile
    begins: int
    ends: int | None = None
    _blocks: OrderedDict[int, Mapping[str, Bars]] = field(default_factory=OrderedDict, repr=False, compare=False)

    @property
    def decimals(self) -> int:
        """Return the decimals of an amount."""
        return self.profile.decimals

    def bars(self, dataset: str, start: int, stop: int) -> Bars:
        """See Source."""
        start = max(start, self.begins)
        stop = stop if self.ends is None else min(stop, self.ends)
        if stop <= start:
            return _no_bars(self._block(self.begins // (BLOCK_BARS * BAR_SECONDS))[dataset])
        length = BLOCK_BARS * BAR_SECONDS
        parts = [
            _slice_bars(self._block(number)[dataset], start, stop)
            for number in range(start // length, (stop - 1) // length + 1)
        ]
        if len(parts) == 1:
            return parts[0]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def bar_in_progress(self, start: int, now: float) -> Candles | None:
        """See Source."""
        return simulate_candles(self.seed, self.market, BAR_SECONDS, start, start + 1, now)

    def _block(self, number: int) -> Mapping[str, Bars]:
        cached = self._blocks.get(number)
        if cached is None:
            start, stop = number * BLOCK_BARS * BAR_SECONDS, (number + 1) * BLOCK_BARS * BAR_SECONDS
            path = simulate_candles(self.seed, self.market, BAR_SECONDS, start - WARM_UP_BARS * BAR_SECONDS, stop)
            cached = self._blocks[number] = slice_datasets(derive_datasets(path, self.profile), start, stop)
            while len(self._blocks) > _MAX_CACHED_BLOCKS:
                self._blocks.popitem(last=False)
        return cached


class RecordedSource:
    """A contract with recorded candles; its data begin and end with them."""

    def __init__(self, recorded: Candles, profile: ContractProfile) -> None:
        self._recorded, self._profile = recorded, profile
        self._derived: Mapping[str, Bars] | None = None
        self.begins = int(recorded.t[0])
        self.ends: int | None = int(recorded.t[-1]) + BAR_SECONDS
        self.decimals = profile.decimals

    def bars(self, dataset: str, start: int, stop: int) -> Bars:
        """See Source."""
        if self._derived is None:
            self._derived = derive_datasets(self._recorded, self._profile)
        return _slice_bars(self._derived[dataset], start, stop)

    def bar_in_progress(self, start: int, now: float) -> Candles | None:  # noqa: ARG002
        """Return None: only complete bars were recorded."""
        return None


@dataclass(frozen=True, slots=True)
class PlainSource:
    """A contract with data from formulas: nothing is cached, and thousands of contracts are cheap."""

    key: int
    level: float = 1.0
    open_interest: float = 1e6
    begins: int = 1_700_000_100 // BAR_SECONDS * BAR_SECONDS
    ends: int | None = None
    decimals: int = 0

    @classmethod
    def of(cls, seed: int, symbol: str) -> PlainSource:
        """Return the source of a seed and a symbol."""
        key = hash_key(seed, "plain", symbol)
        return cls(key, level=0.1 + key % 1000, open_interest=1e5 + key % 10_000_000)

    def bars(self, dataset: str, start: int, stop: int) -> Bars:
        """See Source."""
        first = max(-(-start // BAR_SECONDS), self.begins // BAR_SECONDS)
        index = np.arange(first, max(-(-stop // BAR_SECONDS), first) + 1, dtype=np.int64)
        t = index[:-1] * BAR_SECONDS
        if dataset == "long_short_ratio":
            longs = np.round(50.0 + 15.0 * self._wave(index[1:], 21), 2)
            shorts = np.round(100.0 - longs, 2)
            return {"t": t, "r": np.round(longs / shorts, 4), "l": longs, "s": shorts}
        if dataset == "liquidations":
            chance = uniform(self.key + 31, index[1:])
            some = chance < 0.15
            amount = np.round(1.0 + 1e-4 * self.open_interest * chance, self.decimals)[some]
            falling = (index[1:][some] & 1) == 0
            return {"t": t[some], "l": np.where(falling, amount, 0.0), "s": np.where(falling, 0.0, amount)}
        if dataset == "open_interest":
            return self._ohlc(t, self.open_interest * (1.0 + 0.1 * self._wave(index, 1)), self.decimals)
        if dataset == "ohlcv":
            fields = self._ohlc(t, self.level * (1.0 + 0.1 * self._wave(index, 41)), 4)
            volume = np.round(1e4 * (1.0 + uniform(self.key + 42, index[1:])))
            return fields | {"v": volume, "bv": np.round(volume / 2), "tx": volume, "btx": np.round(volume / 2)}
        return self._ohlc(t, 0.01 + 0.02 * self._wave(index, 11), FUNDING_DECIMALS)

    def bar_in_progress(self, start: int, now: float) -> Candles | None:  # noqa: ARG002
        """Return None: the formulas give complete bars only."""
        return None

    def _wave(self, index: Integers, noise_offset: int) -> Floats:
        slow = np.sin(2 * np.pi * ((index + self.key % 301) % 301) / 301.0)
        return np.asarray(0.7 * slow + 0.1 * (2.0 * uniform(self.key + noise_offset, index) - 1.0))

    @staticmethod
    def _ohlc(t: Integers, ends: Floats, decimals: int) -> Bars:
        opens, closes = np.round(ends[:-1], decimals), np.round(ends[1:], decimals)
        return {"t": t, "o": opens, "h": np.maximum(opens, closes), "l": np.minimum(opens, closes), "c": closes}


def _slice_bars(bars: Bars, start: int, stop: int) -> Bars:
    left, right = np.searchsorted(bars["t"], [start, stop])
    return {name: values[left:right] for name, values in bars.items()}


def _no_bars(bars: Bars) -> Bars:
    return {name: values[:0] for name, values in bars.items()}
