"""Simulate prices and volumes as a pure function of a seed, a market and time.

The price path has a node every 225 s. It is a random walk by midpoint displacement (Lévy's construction) over a
lattice of 85 days, with volatility regimes, a factor shared by all assets, trends of days and weeks, and jumps that
decay. Every node is computed from hashes, so that a bar does not depend on the requested range.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import floor, log, log10, sqrt
from typing import NamedTuple

import numpy as np

from quant_assets.emulator.noise import Floats, Integers, hash_fraction, hash_key, normal, uniform, value_noise

NODE_SECONDS = 225
BAR_SECONDS = 900
NODES_PER_BAR = BAR_SECONDS // NODE_SECONDS
_LATTICE = 1 << 15  # nodes between two lattice points: 85 days
_REGIME_SPACING = 256  # nodes: finer displacements are scaled by the volatility regime
_JUMP_SLOT = 576  # nodes, 1.5 days: at most one jump in each
_JUMP_MEMORY = 8  # slots until a jump has decayed completely
_SHARED_VOLATILITY = 0.0018
_SHORT = 64  # nodes: 4 hours


@dataclass(frozen=True, slots=True)
class SimulatedMarket:
    """Parameters of one market.

    Markets of one `asset` share their path, up to a small basis by `exchange`. `level` is the typical price,
    `volatility` the deviation of a 15-minute log return, `turnover` the typical quote volume of 15 minutes, `beta`
    the exposure to the factor that all assets share.
    """

    exchange: str
    asset: str
    level: float
    volatility: float = 0.004
    turnover: float = 1e6
    beta: float = 1.0

    @property
    def decimals(self) -> int:
        """Return the decimals of a price: five significant digits at the level."""
        return max(0, 4 - floor(log10(self.level)))

    @property
    def amount_decimals(self) -> int:
        """Return the decimals of an amount of the base asset: more for an expensive one."""
        return min(3, max(0, floor(log10(self.level)) + 1))


class Candles(NamedTuple):
    """Candles as arrays of one length; `t` is the bar's open in UNIX seconds, `v` in units of the base."""

    t: Integers
    o: Floats
    h: Floats
    l: Floats  # noqa: E741 - the provider's own name
    c: Floats
    v: Floats


def simulate_candles(
    seed: int,
    market: SimulatedMarket,
    timeframe_seconds: int,
    start: int,
    end: int,
    until: float | None = None,
) -> Candles:
    """Return the bars that open in [start, end), UNIX seconds, of a timeframe that is a multiple of 15 minutes.

    With `until`, return only what has happened by then: no bars that open later, and a last bar in progress. Longer
    bars are merged from 15-minute bars, so that they agree to the last digit.
    Raises ValueError for a timeframe that 15 minutes do not divide.
    """
    if timeframe_seconds <= 0 or timeframe_seconds % BAR_SECONDS:
        raise ValueError(f"Invalid timeframe {timeframe_seconds} s: expected a multiple of {BAR_SECONDS} s")
    first = -(-start // timeframe_seconds) * timeframe_seconds
    stop = -(-end // timeframe_seconds) * timeframe_seconds
    if until is not None:
        stop = min(stop, -(-int(np.ceil(until)) // BAR_SECONDS) * BAR_SECONDS)
    if stop <= first:
        none = np.zeros(0)
        return Candles(np.zeros(0, np.int64), none, none, none, none, none)
    quarter = _fifteen_minute_bars(seed, market, first, stop, until)
    return quarter if timeframe_seconds == BAR_SECONDS else aggregate_candles(quarter, timeframe_seconds)


def aggregate_candles(bars: Candles, timeframe_seconds: int) -> Candles:
    """Merge bars, ascending and not empty, into longer ones; the first and the last may be incomplete."""
    group = bars.t // timeframe_seconds
    starts = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])
    ends = np.r_[starts[1:], len(group)] - 1
    volume_decimals = 6  # removes binary rounding errors of the sums
    return Candles(
        group[starts] * timeframe_seconds,
        bars.o[starts],
        np.maximum.reduceat(bars.h, starts),
        np.minimum.reduceat(bars.l, starts),
        bars.c[ends],
        np.asarray(np.round(np.add.reduceat(bars.v, starts), volume_decimals), dtype=np.float64),
    )


def _fifteen_minute_bars(seed: int, market: SimulatedMarket, first: int, stop: int, until: float | None) -> Candles:
    """Return the 15-minute bars of the path from `first` to `stop`, both multiples of 15 minutes."""
    nodes = np.arange(first // NODE_SECONDS, stop // NODE_SECONDS + 1, dtype=np.int64)
    path, heat = _asset_path(seed, market.asset, market.volatility, market.beta, int(nodes[0]), int(nodes[-1]))
    exchange_hash = hash_key(seed, "venue", market.exchange, market.asset)  # another text changes all prices
    logs = log(market.level) + path + 0.0004 * value_noise(exchange_hash, nodes, 16)
    steps = nodes[:-1]
    share = np.ones(len(steps))
    if until is not None:
        share = np.clip(until / NODE_SECONDS - steps, 0.0, 1.0)
    opened, moved = logs[:-1], np.diff(logs) * share
    wick = share * market.volatility * 0.35
    top = np.maximum(opened, opened + moved) + wick * uniform(exchange_hash + 1, steps) ** 2 * (1 + heat[:-1])
    bottom = np.minimum(opened, opened + moved) - wick * uniform(exchange_hash + 2, steps) ** 2 * (1 + heat[:-1])
    volume = share * _turnover(exchange_hash, market, steps, np.diff(logs), heat[:-1]) / np.exp(opened)
    begun = share > 0
    top[~begun], bottom[~begun] = -np.inf, np.inf

    def by_bar(values: Floats) -> Floats:
        return np.asarray(values.reshape(-1, NODES_PER_BAR), dtype=np.float64)

    last_step = np.maximum(by_bar(begun.astype(np.float64)).sum(axis=1).astype(np.int64) - 1, 0)
    closed = np.take_along_axis(by_bar(opened + moved), last_step[:, None], axis=1)[:, 0]

    def price(values: Floats) -> Floats:
        return np.asarray(np.round(np.exp(values), market.decimals), dtype=np.float64)

    return Candles(
        nodes[:-1:NODES_PER_BAR] * NODE_SECONDS,
        price(logs[:-1:NODES_PER_BAR]),
        price(by_bar(top).max(axis=1)),
        price(by_bar(bottom).min(axis=1)),
        price(closed),
        np.round(by_bar(volume).sum(axis=1), market.amount_decimals),
    )


def _turnover(exchange_hash: int, market: SimulatedMarket, steps: Integers, moves: Floats, heat: Floats) -> Floats:
    """Return the quote volume of each step: higher with moves, after jumps, by day and in accumulation phases."""
    unit = market.volatility / sqrt(NODES_PER_BAR)
    day = 1.0 + 0.35 * np.sin(2 * np.pi * (steps % 384) / 384.0 - 1.0)
    mood = np.exp(0.45 * normal(exchange_hash + 3, steps) + 0.5 * value_noise(exchange_hash + 4, steps, 768))
    lean = 0.45 * np.tanh(1.5 * value_noise(exchange_hash + 5, steps, 300)) * np.sign(moves)
    rush = 0.45 + 0.7 * np.minimum(np.abs(moves) / unit, 6.0)
    turnover = market.turnover / NODES_PER_BAR * day * mood * (1.0 + lean) * rush * (1.0 + heat)
    return np.asarray(turnover, dtype=np.float64)


def _asset_path(seed: int, asset: str, volatility: float, beta: float, first: int, last: int) -> tuple[Floats, Floats]:
    """Return the log price at the nodes first … last, around 0, and the activity after jumps (0 = calm).

    The paths of bars in progress are short: those of a thousand are kept, of longer ones 256.
    """
    cached = _short_asset_path if last - first <= _SHORT else _long_asset_path
    return cached(seed, asset, volatility, beta, first, last)


def _compute_asset_path(
    seed: int, asset: str, volatility: float, beta: float, first: int, last: int
) -> tuple[Floats, Floats]:
    nodes = np.arange(first, last + 1, dtype=np.int64)
    key = hash_key(seed, "asset", asset)
    path = _walk(key, first, last, volatility) + beta * _shared_path(seed, first, last)
    path += volatility * (12.0 * value_noise(key + 6, nodes, 2688) + 5.0 * value_noise(key + 7, nodes, 900))
    jumps, heat = _jumps(seed, asset, volatility, nodes)
    path += jumps
    path += 0.5 * volatility * heat / (1.0 + heat) * normal(key + 8, nodes)
    path.flags.writeable = heat.flags.writeable = False
    return path, heat


_short_asset_path = lru_cache(maxsize=1024)(_compute_asset_path)
_long_asset_path = lru_cache(maxsize=256)(_compute_asset_path)


@lru_cache(maxsize=24)
def _shared_path(seed: int, first: int, last: int) -> Floats:
    path = _walk(hash_key(seed, "the whole market"), first, last, _SHARED_VOLATILITY)
    path.flags.writeable = False
    return path


def _walk(key: int, first: int, last: int, volatility: float) -> Floats:
    """Return a random walk at the nodes first … last by midpoint displacement between lattice points."""
    deviation = volatility / sqrt(NODES_PER_BAR)
    spacing = _LATTICE
    low, high = first // spacing, max(-(-last // spacing), first // spacing + 1)
    values = normal(key, np.arange(low, high + 1, dtype=np.int64)) * deviation * sqrt(spacing) * 0.55
    while spacing > 1:
        half = spacing // 2
        middle = np.arange(2 * low + 1, 2 * high, 2, dtype=np.int64)
        displacement = deviation * sqrt(spacing) / 2 * normal(key + spacing, middle)
        if spacing <= _REGIME_SPACING:
            displacement *= _volatility_regime(key, middle * half)
        finer = np.empty(2 * len(values) - 1)
        finer[0::2] = values
        finer[1::2] = (values[:-1] + values[1:]) / 2 + displacement
        origin = 2 * low
        low, high, spacing = first // half, max(-(-last // half), first // half + 1), half
        values = finer[low - origin : high - origin + 1]
    return values[: last - first + 1].copy()


def _volatility_regime(key: int, nodes: Integers) -> Floats:
    return np.asarray(np.exp(0.4 * value_noise(key + 9, nodes, 2304) + 0.3 * value_noise(key + 10, nodes, 384)))


def _jumps(seed: int, asset: str, volatility: float, nodes: Integers) -> tuple[Floats, Floats]:
    """Return the jumps of the log price, which decay within 12 days, and the activity after them, within one."""
    first, last = int(nodes[0]), int(nodes[-1])
    offset, heat = np.zeros(len(nodes)), np.zeros(len(nodes))
    for slot in range(first // _JUMP_SLOT - _JUMP_MEMORY, last // _JUMP_SLOT + 1):
        if hash_fraction(seed, "jump", asset, slot) > 0.22:
            continue
        draw = [hash_fraction(seed, "jump", asset, slot, part) for part in ("when", "size", "side", "memory")]
        begins = slot * _JUMP_SLOT + int(draw[0] * _JUMP_SLOT)
        lasts = int(_JUMP_SLOT * (1.0 + draw[3] * (_JUMP_MEMORY - 2)))
        left, right = max(begins - first, 0), min(begins + lasts - first, len(nodes))
        if right <= left:
            continue
        age = np.arange(left + first - begins, right + first - begins) / lasts
        ramp = np.minimum(age * lasts / 6.0, 1.0)
        size = (4.0 + 9.0 * draw[1] ** 2) * volatility * (1 if draw[2] < 0.5 else -1)
        offset[left:right] += size * ramp * (1.0 - age) ** 2
        heat[left:right] += 3.0 * (0.4 + draw[1]) * ramp * np.maximum(1.0 - age * lasts / 384.0, 0.0) ** 2
    return offset, heat
