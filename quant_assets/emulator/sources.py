"""Where the data of one contract come from."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from quant_assets.emulator.derived import (
    FUNDING_DECIMALS,
    WARM_UP,
    Bars,
    Nature,
    derive,
    last_bars,
)
from quant_assets.emulator.hashing import Floats, Integers, key_of, uniform
from quant_assets.emulator.simulated import BAR_SECONDS, Candles, SimulatedMarket, candles

BLOCK = 768
"""Bars of a simulated market that are derived at once and kept, aligned in time."""

_KEPT_BLOCKS = 4


class Source(Protocol):
    """Gives the bars of one contract.

    `begins` is the open of its oldest bar, `ends` the close of its newest one (None: it never ends), both UNIX
    seconds; `decimals` those of an amount.
    """

    @property
    def begins(self) -> int: ...  # noqa: D102 - said above

    @property
    def ends(self) -> int | None: ...  # noqa: D102

    @property
    def decimals(self) -> int: ...  # noqa: D102

    def bars(self, dataset: str, start: int, stop: int) -> Bars:
        """Return the bars of a dataset that open in [start, stop), as if all of them were complete."""

    def bar_in_progress(self, start: int, now: float) -> Candles | None:
        """Return the candle that opened at `start` as it stands at `now`; None where only its end is known."""


@dataclass(frozen=True)
class SimulatedSource:
    """A contract on a simulated market, from `begins` on and without an end unless it is delisted at `ends`."""

    seed: int
    market: SimulatedMarket
    nature: Nature
    begins: int
    ends: int | None = None
    _blocks: OrderedDict[int, Mapping[str, Bars]] = field(default_factory=OrderedDict, repr=False, compare=False)

    @property
    def decimals(self) -> int:
        """Decimals of an amount."""
        return self.nature.decimals

    def bars(self, dataset: str, start: int, stop: int) -> Bars:
        """See Source."""
        start = max(start, self.begins)
        stop = stop if self.ends is None else min(stop, self.ends)
        if stop <= start:
            return _none_of(self._block(self.begins // (BLOCK * BAR_SECONDS))[dataset])
        length = BLOCK * BAR_SECONDS
        parts = [
            _between(self._block(number)[dataset], start, stop)
            for number in range(start // length, (stop - 1) // length + 1)
        ]
        if len(parts) == 1:
            return parts[0]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def bar_in_progress(self, start: int, now: float) -> Candles | None:
        """See Source."""
        return candles(self.seed, self.market, BAR_SECONDS, start, start + 1, now)

    def _block(self, number: int) -> Mapping[str, Bars]:
        kept = self._blocks.get(number)
        if kept is None:
            start, stop = number * BLOCK * BAR_SECONDS, (number + 1) * BLOCK * BAR_SECONDS
            path = candles(self.seed, self.market, BAR_SECONDS, start - WARM_UP * BAR_SECONDS, stop)
            kept = self._blocks[number] = last_bars(derive(path, self.nature), start, stop)
            while len(self._blocks) > _KEPT_BLOCKS:
                self._blocks.popitem(last=False)
        return kept


class RecordedSource:
    """A contract whose candles were recorded: its data begin and end with them."""

    def __init__(self, recorded: Candles, nature: Nature) -> None:
        self._recorded, self._nature = recorded, nature
        self._derived: Mapping[str, Bars] | None = None
        self.begins = int(recorded.t[0])
        self.ends: int | None = int(recorded.t[-1]) + BAR_SECONDS
        self.decimals = nature.decimals

    def bars(self, dataset: str, start: int, stop: int) -> Bars:
        """See Source."""
        if self._derived is None:
            self._derived = derive(self._recorded, self._nature)
        return _between(self._derived[dataset], start, stop)

    def bar_in_progress(self, start: int, now: float) -> Candles | None:  # noqa: ARG002
        """See Source: of a recorded bar only its end is known."""
        return None


@dataclass(frozen=True, slots=True)
class PlainSource:
    """A contract out of formulas alone: waves and hashes, nothing kept, cheap to ask by the thousand."""

    key: int
    level: float = 1.0
    open_interest: float = 1e6
    begins: int = 1_700_000_100 // BAR_SECONDS * BAR_SECONDS
    ends: int | None = None
    decimals: int = 0

    @classmethod
    def of(cls, seed: int, symbol: str) -> PlainSource:
        """Make the source that follows from a seed and a symbol."""
        key = key_of(seed, "plain", symbol)
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
        """See Source: of a formula only the end of a bar is known."""
        return None

    def _wave(self, index: Integers, lane: int) -> Floats:
        slow = np.sin(2 * np.pi * ((index + self.key % 301) % 301) / 301.0)
        return np.asarray(0.7 * slow + 0.1 * (2.0 * uniform(self.key + lane, index) - 1.0))

    @staticmethod
    def _ohlc(t: Integers, ends: Floats, decimals: int) -> Bars:
        opens, closes = np.round(ends[:-1], decimals), np.round(ends[1:], decimals)
        return {"t": t, "o": opens, "h": np.maximum(opens, closes), "l": np.minimum(opens, closes), "c": closes}


def _between(bars: Bars, start: int, stop: int) -> Bars:
    left, right = np.searchsorted(bars["t"], [start, stop])
    return {name: values[left:right] for name, values in bars.items()}


def _none_of(bars: Bars) -> Bars:
    return {name: values[:0] for name, values in bars.items()}
