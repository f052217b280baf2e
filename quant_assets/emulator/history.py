"""Build the points of the history endpoints from 15-minute bars."""

from __future__ import annotations

import numpy as np

from quant_assets.emulator.derivatives import FUNDING_DECIMALS, Bars
from quant_assets.emulator.noise import Floats
from quant_assets.emulator.simulated_market import BAR_SECONDS
from quant_assets.emulator.universe import Listing

INTERVALS = {
    "1min": 60,
    "5min": 300,
    "15min": 900,
    "30min": 1800,
    "1hour": 3600,
    "2hour": 7200,
    "4hour": 14400,
    "6hour": 21600,
    "12hour": 43200,
    "daily": 86400,
}
RETENTION_POINTS = 2000
"""How many of the newest points of an intraday series are served; daily series are served in full."""

_SUMMED = {"liquidations": ("l", "s"), "ohlcv": ("v", "bv", "tx", "btx")}

Point = dict[str, float | int]


def history_points(
    listing: Listing, dataset: str, interval: str, start: int, stop: int, now: float, *, usd: bool = False
) -> list[Point]:
    """Return the points that open in [start, stop], both inclusive, as known at `now` (UNIX seconds)."""
    seconds = INTERVALS[interval]
    ends = listing.source.ends
    newest_moment = now if ends is None else min(now, ends)
    newest = (int(np.ceil(newest_moment)) - 1) // seconds * seconds
    oldest = listing.source.begins // seconds * seconds
    if interval != "daily":
        oldest = max(oldest, newest - (RETENTION_POINTS - 1) * seconds)
    first = max(-(-start // seconds) * seconds, oldest)
    last = min(stop // seconds * seconds, newest)
    if last < first:
        return []
    bars = _bars_until(listing, dataset, first // BAR_SECONDS * BAR_SECONDS, last + seconds, now)
    if usd and dataset in ("open_interest", "liquidations") and not listing.in_quote:
        bars = _to_dollars(listing, bars, now)
    if seconds > BAR_SECONDS:
        bars = _merge_bars(bars, dataset, seconds, listing.source.decimals)
    elif seconds < BAR_SECONDS:
        bars = _split_bars(bars, dataset, seconds, min(now, newest_moment))
    left, right = np.searchsorted(bars["t"], [first, last + 1])
    return _as_points({name: values[left:right] for name, values in bars.items()})


def current_value(listing: Listing, dataset: str, now: float, *, usd: bool = False) -> tuple[float, int] | None:
    """Return the value at `now` and its time in epoch ms, None if there is none."""
    ends = listing.source.ends
    moment = now if ends is None else min(now, ends)
    last = history_points(listing, dataset, "15min", int(moment) - 4 * BAR_SECONDS, int(moment), now, usd=usd)
    return (last[-1]["c"], int(moment * 1000)) if last else None


def _bars_until(listing: Listing, dataset: str, start: int, stop: int, now: float) -> Bars:
    """Return the 15-minute bars from `start` up to `now`; the last one may be in progress."""
    bars = listing.source.bars(dataset, start, min(stop, int(np.ceil(now))))
    if not len(bars["t"]) or bars["t"][-1] + BAR_SECONDS <= now:
        return bars
    opened = int(bars["t"][-1])
    begun = {name: values.copy() for name, values in bars.items()}
    candle = listing.source.bar_in_progress(opened, now) if dataset == "ohlcv" else None
    if candle is not None and len(candle.t):
        for name, values in zip(candle._fields, candle, strict=True):
            begun[name][-1] = values[0]
    share = (now - opened) / BAR_SECONDS
    _scale_bar_in_progress(begun, dataset, share, listing.source.decimals, prices=candle is None)
    if dataset == "liquidations" and not (begun["l"][-1] or begun["s"][-1]):
        return {name: values[:-1] for name, values in begun.items()}
    return begun


def _scale_bar_in_progress(bars: Bars, dataset: str, share: float, decimals: int, *, prices: bool) -> None:
    """Scale the last bar down to the share of its time that has passed."""
    summed = _SUMMED.get(dataset, ())
    for name in summed:
        if prices or name != "v":
            whole = name in ("tx", "btx")
            bars[name][-1] = np.floor(bars[name][-1] * share) if whole else round(bars[name][-1] * share, decimals)
    if dataset == "long_short_ratio":
        longs = round(min(float(bars["l"][-1]) + 0.4 * (1.0 - share), 99.0), 2)
        bars["l"][-1], bars["s"][-1] = longs, round(100.0 - longs, 2)
        bars["r"][-1] = round(longs / (100.0 - longs), 4)
    elif prices and "o" in bars:
        opened = float(bars["o"][-1])
        digits = {"open_interest": decimals, "ohlcv": 10}.get(dataset, FUNDING_DECIMALS)
        close, high, low = (
            round(opened + (float(bars[name][-1]) - opened) * share, digits) for name in ("c", "h", "l")
        )
        bars["c"][-1], bars["h"][-1], bars["l"][-1] = close, max(opened, close, high), min(opened, close, low)


def _to_dollars(listing: Listing, bars: Bars, now: float) -> Bars:
    if not len(bars["t"]):
        return bars
    prices = _bars_until(listing, "ohlcv", int(bars["t"][0]), int(bars["t"][-1]) + BAR_SECONDS, now)
    at = np.clip(np.searchsorted(prices["t"], bars["t"], side="right") - 1, 0, None)
    price: Floats = prices["c"][at]
    return {name: values if name == "t" else np.round(values * price, 2) for name, values in bars.items()}


def _merge_bars(bars: Bars, dataset: str, seconds: int, decimals: int) -> Bars:
    """Merge 15-minute bars into longer ones: sums of amounts, OHLC of prices, else the last value."""
    if not len(bars["t"]):
        return bars
    group = bars["t"] // seconds
    starts = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])
    ends = np.r_[starts[1:], len(group)] - 1
    merged: Bars = {}
    for name, values in bars.items():
        if name == "t":
            merged[name] = group[starts] * seconds
        elif name in _SUMMED.get(dataset, ()):
            merged[name] = np.round(np.add.reduceat(values, starts), max(decimals, 3))
        elif name == "o":
            merged[name] = values[starts]
        elif name == "h":
            merged[name] = np.maximum.reduceat(values, starts)
        elif name == "l" and "o" in bars:
            merged[name] = np.minimum.reduceat(values, starts)
        else:
            merged[name] = values[ends]
    return merged


def _split_bars(bars: Bars, dataset: str, seconds: int, now: float) -> Bars:
    """Split 15-minute bars into shorter ones: prices along a straight line, amounts in equal shares."""
    pieces = BAR_SECONDS // seconds
    count = len(bars["t"])
    step = np.tile(np.arange(pieces), count)
    split: Bars = {name: np.repeat(values, pieces) for name, values in bars.items()}
    split["t"] = split["t"] + step * seconds
    for name in _SUMMED.get(dataset, ()):
        split[name] = np.round(split[name] / pieces, 6)
    if "o" in bars:
        opened, moved = np.repeat(bars["o"], pieces), np.repeat(bars["c"] - bars["o"], pieces)
        split["o"] = np.round(opened + moved * step / pieces, 10)
        split["c"] = np.round(opened + moved * (step + 1) / pieces, 10)
        split["h"], split["l"] = np.maximum(split["o"], split["c"]), np.minimum(split["o"], split["c"])
    begun = split["t"] < now
    return {name: values[begun] for name, values in split.items()}


def _as_points(bars: Bars) -> list[Point]:
    names = tuple(bars)
    columns = [bars["t"].tolist(), *(to_json_numbers(bars[name]) for name in names[1:])]
    return [dict(zip(names, row)) for row in zip(*columns, strict=True)]  # noqa: B905 - the hot line


def to_json_numbers(values: Floats) -> list[float | int]:
    """Return the values as JSON numbers: whole ones as integers."""
    whole = values.astype(np.int64)
    if np.array_equal(whole, values):
        integers: list[float | int] = whole.tolist()
        return integers
    numbers: list[float] = values.tolist()
    return [int(number) if number.is_integer() else number for number in numbers]
