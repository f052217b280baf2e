"""Provide the bars, open interest and funding of one contract: simulated, or recorded in candle files."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock
from typing import Protocol

import numpy as np

from quant_assets.emulator.derivatives import WARM_UP_BARS, ContractProfile, derive_datasets
from quant_assets.emulator.noise import Floats, Integers
from quant_assets.emulator.simulated_market import (
    BAR_SECONDS,
    Candles,
    SimulatedMarket,
    aggregate_candles,
    simulate_candles,
)

_BLOCK_SECONDS = 16 * 86400
_DAY_SECONDS = 96 * BAR_SECONDS
_WARM_UP_SECONDS = WARM_UP_BARS * BAR_SECONDS
_MAX_CACHED_BLOCKS, _MAX_CACHED_DAYS = 6, 2

Derivatives = tuple[Integers, Floats, Floats]
"""Opens of 15-minute bars, and open interest (base units) and funding (percent) at their close."""


class BarSource(Protocol):
    """A source of the bars of one contract; volumes in units of the base.

    `ends` is the close of its newest bar in UNIX seconds, None if it goes on.
    """

    @property
    def ends(self) -> int | None: ...  # noqa: D102 - said above

    def bars(self, seconds: int, start: int, stop: int) -> Candles:
        """Return the bars of a timeframe that open in [start, stop), all as if complete."""

    def bar_in_progress(self, seconds: int, start: int, now: float) -> Candles | None:
        """Return the bar that opened at `start` as of `now`, None if there is only what was recorded."""

    def derivatives(self, start: int, stop: int) -> Derivatives:
        """Return open interest and funding of the 15-minute bars that open in [start, stop)."""


class _Day:
    """The 15-minute bars of a day and of the three days before it, and what is derived from them when it is asked."""

    def __init__(self, number: int, path: Candles, profile: ContractProfile) -> None:
        self._number, self._profile = number, profile
        self.path = path
        self._derived: Derivatives | None = None

    def derivatives(self) -> Derivatives:
        """Return open interest and funding of the day."""
        if self._derived is None:
            start = self._number * _DAY_SECONDS
            self._derived = _slice_derivatives(_derive(self.path, self._profile), start, start + _DAY_SECONDS)
        return self._derived


class SimulatedBars:
    """Bars of a simulated market that never ends; several threads may ask.

    What tickers and the newest bars need comes from the last days; long ranges come from blocks of weeks.
    """

    ends: int | None = None

    def __init__(self, seed: int, market: SimulatedMarket, profile: ContractProfile) -> None:
        self._seed, self._market, self._profile = seed, market, profile
        self._blocks: OrderedDict[tuple[int, int], Candles] = OrderedDict()
        self._days: OrderedDict[int, _Day] = OrderedDict()
        self._lock = Lock()

    def bars(self, seconds: int, start: int, stop: int) -> Candles:
        """See BarSource."""
        if seconds == BAR_SECONDS and stop - start <= _WARM_UP_SECONDS:
            with self._lock:
                return slice_candles(self._day(max(start, stop - 1) // _DAY_SECONDS).path, start, stop)
        if _BLOCK_SECONDS % seconds:
            return self._simulate(seconds, start, stop)
        numbers = range(start // _BLOCK_SECONDS, max(start, stop - 1) // _BLOCK_SECONDS + 1)
        with self._lock:
            blocks = [self._block(seconds, number) for number in numbers]
        return slice_candles(_joined(blocks), start, stop)

    def bar_in_progress(self, seconds: int, start: int, now: float) -> Candles | None:
        """See BarSource."""
        return self._simulate(seconds, start, start + 1, now)

    def derivatives(self, start: int, stop: int) -> Derivatives:
        """See BarSource."""
        numbers = range(start // _DAY_SECONDS, max(start, stop - 1) // _DAY_SECONDS + 1)
        if len(numbers) > _MAX_CACHED_DAYS:
            whole = self._simulate(BAR_SECONDS, start - _WARM_UP_SECONDS, stop)
            return _slice_derivatives(_derive(whole, self._profile), start, stop)
        with self._lock:
            parts = [self._day(number).derivatives() for number in numbers]
        t, interest, funding = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        return _slice_derivatives((t, interest, funding), start, stop)

    def _simulate(self, seconds: int, start: int, stop: int, until: float | None = None) -> Candles:
        return simulate_candles(self._seed, self._market, seconds, start, stop, until)

    def _block(self, seconds: int, number: int) -> Candles:
        key = (seconds, number)
        if key not in self._blocks:
            start = number * _BLOCK_SECONDS
            self._blocks[key] = (
                self._simulate(seconds, start, start + _BLOCK_SECONDS)
                if seconds == BAR_SECONDS
                else aggregate_candles(self._block(BAR_SECONDS, number), seconds)
            )
            if len(self._blocks) > _MAX_CACHED_BLOCKS:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(key)
        return self._blocks[key]

    def _day(self, number: int) -> _Day:
        if number not in self._days:
            start = number * _DAY_SECONDS
            path = self._simulate(BAR_SECONDS, start - _WARM_UP_SECONDS, start + _DAY_SECONDS)
            self._days[number] = _Day(number, path, self._profile)
            if len(self._days) > _MAX_CACHED_DAYS:
                self._days.popitem(last=False)
        self._days.move_to_end(number)
        return self._days[number]


class RecordedBars:
    """Bars of candle files by timeframe in seconds; other timeframes are merged from 15-minute bars.

    The newest bar is served as it was recorded, which may have been before its close.
    """

    def __init__(self, recorded: Mapping[int, Candles], profile: ContractProfile) -> None:
        self._recorded, self._profile = dict(recorded), profile
        self._derived: Derivatives | None = None
        self._lock = Lock()
        self.ends: int | None = int(recorded[BAR_SECONDS].t[-1]) + BAR_SECONDS

    def bars(self, seconds: int, start: int, stop: int) -> Candles:
        """See BarSource."""
        with self._lock:
            if seconds not in self._recorded:
                self._recorded[seconds] = aggregate_candles(self._recorded[BAR_SECONDS], seconds)
        return slice_candles(self._recorded[seconds], start, stop)

    def bar_in_progress(self, seconds: int, start: int, now: float) -> Candles | None:  # noqa: ARG002
        """Return None: the newest bar is as it was recorded."""
        return None

    def derivatives(self, start: int, stop: int) -> Derivatives:
        """See BarSource."""
        with self._lock:
            if self._derived is None:
                self._derived = _derive(self._recorded[BAR_SECONDS], self._profile)
        return _slice_derivatives(self._derived, start, stop)


def slice_candles(candles: Candles, start: int, stop: int) -> Candles:
    """Return the bars that open in [start, stop)."""
    left, right = np.searchsorted(candles.t, [start, stop])
    return Candles(candles.t[left:right], *(column[left:right] for column in candles[1:]))


def pick_candles(candles: Candles, places: Integers) -> Candles:
    """Return the bars at these places, in this order."""
    return Candles(candles.t[places], *(column[places] for column in candles[1:]))


def _joined(blocks: list[Candles]) -> Candles:
    if len(blocks) == 1:
        return blocks[0]
    return Candles(*(np.concatenate(columns) for columns in zip(*blocks, strict=True)))


def _derive(path: Candles, profile: ContractProfile) -> Derivatives:
    derived = derive_datasets(path, profile)
    return path.t, derived["open_interest"]["c"], derived["funding_rate"]["c"]


def _slice_derivatives(derived: Derivatives, start: int, stop: int) -> Derivatives:
    left, right = np.searchsorted(derived[0], [start, stop])
    return derived[0][left:right], derived[1][left:right], derived[2][left:right]
