"""Show an exchange at one moment: its contracts, their bars and their numbers, with its faults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, floor
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from quant_assets.emulator.exchanges.bar_source import pick_candles
from quant_assets.emulator.exchanges.contract import Contract
from quant_assets.emulator.exchanges.faults import ExchangeFaults
from quant_assets.emulator.noise import Floats, Integers, hash_fraction, hash_key, uniform
from quant_assets.emulator.simulated_market import BAR_SECONDS, Candles

DAY_SECONDS = 86_400


class UnknownContract(Exception):
    """The exchange has no contract of this id."""


@dataclass(frozen=True, slots=True)
class DaySummary:
    """What a ticker says of a contract's last 24 hours; volumes in base and quote units."""

    open: float
    high: float
    low: float
    last: float
    base_volume: float
    quote_volume: float

    @property
    def change(self) -> float:
        """Return the relative change."""
        return round(self.last / self.open - 1.0, 6) if self.open else 0.0


class DaySummaries:
    """The summaries of an exchange's contracts: those of closed bars are kept until the next bar closes."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[int, DaySummary]] = {}
        self._lock = Lock()

    def of(self, contract: Contract, now: float) -> DaySummary:
        """Return the summary at `now`, zeros for a contract that has no bar in 24 hours."""
        opened = floor(now / BAR_SECONDS) * BAR_SECONDS
        with self._lock:
            kept = self._kept.get(contract.id)
        if kept is None or kept[0] != opened:
            kept = (opened, _summarise(slice_to_life(contract, BAR_SECONDS, opened - DAY_SECONDS, opened)))
            with self._lock:
                self._kept[contract.id] = kept
        closed = kept[1]
        bar = slice_to_life(contract, BAR_SECONDS, opened, opened + 1)
        if not len(bar.t):
            return closed
        share = (now - opened) / BAR_SECONDS
        first = float(bar.o[0])
        last = round(first + (float(bar.c[0]) - first) * share, contract.price_decimals)
        volume = float(bar.v[0]) * share
        return DaySummary(
            closed.open or first,
            max(closed.high, last, first),
            min(closed.low or last, last, first),
            last,
            round(closed.base_volume + volume, contract.amount_decimals),
            round(closed.quote_volume + volume * last, 4),
        )


def _summarise(bars: Candles) -> DaySummary:
    if not len(bars.t):
        return DaySummary(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    middle = (bars.h + bars.l + bars.c) / 3
    return DaySummary(
        float(bars.o[0]),
        float(bars.h.max()),
        float(bars.l.min()),
        float(bars.c[-1]),
        float(bars.v.sum()),
        float((bars.v * middle).sum()),
    )


def slice_to_life(contract: Contract, seconds: int, start: int, stop: int) -> Candles:
    """Return whole bars that open in [start, stop) while the contract is listed."""
    first = max(start, -(-contract.listed // seconds) * seconds)
    ends = contract.ends
    last = stop if ends is None else min(stop, ends)
    return contract.source.bars(seconds, first, max(first, last))


class Venue:
    """An exchange at the moment `now` (UNIX seconds, of its own clock), for one request."""

    def __init__(
        self,
        contracts: Mapping[str, Contract],
        now: float,
        faults: ExchangeFaults,
        number: int,
        summaries: DaySummaries,
    ) -> None:
        self.now = now
        self._contracts, self._faults, self._number, self._summaries = contracts, faults, number, summaries

    @property
    def now_ms(self) -> int:
        """Return the moment in epoch milliseconds."""
        return int(self.now * 1000)

    @property
    def contracts(self) -> tuple[Contract, ...]:
        """Return all contracts of the list, those that are no longer traded too, but none before it is listed."""
        return tuple(contract for contract in self._contracts.values() if contract.listed <= self.now)

    def contract(self, id_: str) -> Contract:
        """Return a contract by the exchange's id; raise UnknownContract."""
        contract = self._contracts.get(id_)
        if contract is None or contract.listed > self.now:
            raise UnknownContract(id_)
        return contract

    def trades(self, contract: Contract) -> bool:
        """Tell whether a contract is traded now."""
        return contract.trades_at(self.now)

    def bars(self, contract: Contract, seconds: int, start: float, stop: float) -> Candles:
        """Return the bars that open in [start, stop) as they are now; the last one may be in progress."""
        bars = self._true_bars(contract, seconds, ceil(start), ceil(stop))
        if not len(bars.t):
            return bars
        return self._spoil_order(contract, self._spoil_bars(contract, seconds, bars))

    def newest_bars(self, contract: Contract, seconds: int, count: int, stop: float | None = None) -> Candles:
        """Return the newest `count` bars that open before `stop`, which is now by default."""
        end = min(self.now if stop is None else stop, self.now)
        ends = contract.ends
        if ends is not None:
            end = min(end, ends)
        newest = (ceil(end) - 1) // seconds * seconds
        return self.bars(contract, seconds, newest - (count - 1) * seconds, newest + 1)

    def summary(self, contract: Contract) -> DaySummary:
        """Return what a ticker says of the last 24 hours."""
        return self._summaries.of(contract, self.now)

    def open_interest(self, contract: Contract) -> float:
        """Return the open interest in base units, 0 if it is not traded."""
        return self._derivative(contract, 1, contract.amount_decimals) if self.trades(contract) else 0.0

    def funding_rate(self, contract: Contract) -> float:
        """Return the funding rate as a fraction for the contract's own interval."""
        return round(self._derivative(contract, 2, 8) / 100, 8)

    def next_funding(self, contract: Contract) -> int:
        """Return when funding is paid next, UNIX seconds."""
        interval = contract.funding_hours * 3600
        return (floor(self.now / interval) + 1) * interval

    def open_interest_history(
        self, contract: Contract, seconds: int, start: float, stop: float
    ) -> tuple[Integers, Floats]:
        """Return moments in [start, stop), multiples of `seconds`, and the open interest at each (base units)."""
        return self._history(contract, seconds, start, stop, 1)

    def funding_history(self, contract: Contract, start: float, stop: float) -> tuple[Integers, Floats]:
        """Return the times of funding in [start, stop), and the fraction that was paid at each."""
        moments, rates = self._history(contract, contract.funding_hours * 3600, start, stop, 2)
        return moments, np.asarray(np.round(rates / 100, 8), dtype=np.float64)

    def _history(
        self, contract: Contract, seconds: int, start: float, stop: float, column: int
    ) -> tuple[Integers, Floats]:
        step = max(seconds, BAR_SECONDS)
        first = max(-(-ceil(start) // step) * step, contract.listed + BAR_SECONDS)
        ends = contract.ends
        last = ceil(min(stop, self.now + 0.001, *([] if ends is None else [ends])))
        derived = contract.source.derivatives(first - BAR_SECONDS, max(first, last) - BAR_SECONDS)
        moments = derived[0] + BAR_SECONDS
        chosen = moments % step == 0
        return moments[chosen], derived[column][chosen]

    def _derivative(self, contract: Contract, column: int, decimals: int) -> float:
        """Return the value now: between those at the last close and at the next one."""
        opened = floor(self.now / BAR_SECONDS) * BAR_SECONDS
        values = contract.source.derivatives(opened - BAR_SECONDS, opened + BAR_SECONDS)[column]
        if not len(values):
            return 0.0
        share = (self.now - opened) / BAR_SECONDS
        return round(float(values[0] + (values[-1] - values[0]) * share), decimals)

    def _true_bars(self, contract: Contract, seconds: int, start: int, stop: int) -> Candles:
        bars = slice_to_life(contract, seconds, start, min(stop, ceil(self.now)))
        if not len(bars.t) or bars.t[-1] + seconds <= self.now:
            return bars
        begun = contract.source.bar_in_progress(seconds, int(bars.t[-1]), self.now)
        if begun is None:
            return bars
        return Candles(*(np.concatenate([whole[:-1], part]) for whole, part in zip(bars, begun, strict=True)))

    def _spoil_bars(self, contract: Contract, seconds: int, bars: Candles) -> Candles:
        """Leave out late and missing bars, and change those that are corrected later."""
        faults = self._faults
        age = self.now - bars.t - seconds
        if faults.corrected:
            wrong = self._chosen(contract, "corrected", faults.corrected, bars.t)
            wrong &= (age >= 0) & (age < faults.correction_seconds)
            close = np.where(wrong, np.round((bars.o + bars.c) / 2, contract.price_decimals), bars.c)
            volume = np.where(wrong, np.round(bars.v * 0.9, contract.amount_decimals), bars.v)
            bars = bars._replace(c=np.clip(close, bars.l, bars.h), v=volume)
        hidden = self._chosen(contract, "missing", faults.missing, bars.t)
        if faults.late:
            hidden |= self._chosen(contract, "late", faults.late, bars.t) & (age < faults.late_seconds)
        return pick_candles(bars, np.flatnonzero(~hidden)) if hidden.any() else bars

    def _spoil_order(self, contract: Contract, bars: Candles) -> Candles:
        faults, count = self._faults, len(bars.t)
        if faults.repeated:
            twice = self._chosen(contract, "repeated", faults.repeated, bars.t)
            bars = pick_candles(bars, np.repeat(np.arange(count), 1 + twice))
        if hash_fraction(faults.seed, "shuffled", self._number) < faults.shuffled:
            key = hash_key(faults.seed, "order", self._number)
            bars = pick_candles(bars, np.argsort(uniform(key, np.arange(len(bars.t))), kind="stable"))
        return bars

    def _chosen(self, contract: Contract, fault: str, share: float, opens: Integers) -> NDArray[np.bool_]:
        if not share:
            return np.zeros(len(opens), dtype=np.bool_)
        return np.asarray(uniform(hash_key(self._faults.seed, fault, contract.id), opens) < share)
