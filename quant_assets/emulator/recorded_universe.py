"""Build a universe of contracts from a folder of recorded candles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from quant_assets.emulator.catalogue import REAL_ASSETS, REAL_ROWS
from quant_assets.emulator.contracts import asset_of_base, asset_of_local_symbol, contract_row
from quant_assets.emulator.derivatives import ContractProfile
from quant_assets.emulator.noise import hash_fraction, hash_key
from quant_assets.emulator.simulated_market import BAR_SECONDS, Candles
from quant_assets.emulator.simulated_universe import DEFAULT_SEED, interest_pct, round_to_digits
from quant_assets.emulator.sources import RecordedSource
from quant_assets.emulator.universe import Listing, MarketRow, Universe

_SUFFIX = "_15m.json"
_FIELDS = ("open", "high", "low", "close", "volume")


class _Recording:
    """Candles of one file, and the multiplier of its contract."""

    def __init__(self, multiplier: int, candles: Candles) -> None:
        self.multiplier, self.candles = multiplier, candles


def universe_of_candles(folder: Path, seed: int = DEFAULT_SEED) -> Universe:
    """Return a universe with data from the candles in `folder` (EXCHANGE_SYMBOL_15m.json).

    Hashes decide which exchanges list an asset: about eight in ten are on Binance, half on Bybit, some only on OKX,
    Gate.io or Hyperliquid, some nowhere. The data end where the files end. Unreadable files are skipped. Raises
    FileNotFoundError for a missing folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"Folder not found: {folder}")
    recordings: dict[str, dict[str, _Recording]] = {}
    for path in sorted(folder.glob(f"[!.]*{_SUFFIX}")):
        exchange, _, symbol = path.name.removesuffix(_SUFFIX).partition("_")
        candles = read_candles(path)
        if symbol and candles is not None:
            asset, multiplier = asset_of_local_symbol(exchange, symbol)
            kept = recordings.setdefault(asset, {})
            if exchange not in kept or len(kept[exchange].candles.t) < len(candles.t):
                kept[exchange] = _Recording(multiplier, candles)
    return Universe.of(
        Listing.of(row, _source(seed, row, by_exchange), empty_open_interest=_has_empty_open_interest(seed, row))
        for asset, by_exchange in recordings.items()
        for row in _rows_of(seed, asset, by_exchange)
    )


def _rows_of(seed: int, asset: str, by_exchange: Mapping[str, _Recording]) -> Iterator[MarketRow]:
    if asset in REAL_ASSETS:
        yield from (row for row in REAL_ROWS if _asset_of(row) == asset)
        return
    longest = max(by_exchange.values(), key=lambda recording: len(recording.candles.t))
    cheap = longest.candles.c[0] / longest.multiplier < 1e-4
    multiplier = 1000 if cheap else 1
    draw = hash_fraction(seed, "where", asset)
    if draw < 0.80:
        yield contract_row("A", asset, multiplier)
        codes = [("6", 0.55), ("3", 0.35), ("Y", 0.40)]
        yield from (
            contract_row(code, asset, multiplier)
            for code, part in codes
            if hash_fraction(seed, "on", code, asset) < part
        )
    elif draw < 0.90:
        yield contract_row("36Y"[hash_key(seed, "only", asset) % 3], asset, multiplier)
    if "HYPERLIQUID" in by_exchange and hash_fraction(seed, "on", "H", asset) < 0.92:
        yield contract_row("H", asset, by_exchange["HYPERLIQUID"].multiplier)


def _asset_of(row: MarketRow) -> str:
    return asset_of_base(row.base_asset, on_hyperliquid=row.exchange == "H")[0]


def _has_empty_open_interest(seed: int, row: MarketRow) -> bool:
    return row.exchange == "H" and hash_fraction(seed, "empty", row.symbol) < 0.12


def _source(seed: int, row: MarketRow, by_exchange: Mapping[str, _Recording]) -> RecordedSource:
    """Return the candles of the same exchange, else the longest ones, scaled to the row's multiplier."""
    recording = by_exchange.get("HYPERLIQUID") if row.exchange == "H" else None
    if recording is None:
        recording = max(by_exchange.values(), key=lambda candidate: len(candidate.candles.t))
    factor = asset_of_base(row.base_asset, on_hyperliquid=row.exchange == "H")[1] / recording.multiplier
    raw = recording.candles
    scaled = raw._replace(
        **{name: np.round(getattr(raw, name) * factor, 14) for name in "ohlc"}, v=np.round(raw.v / factor, 6)
    )
    price = float(scaled.c[0])
    in_quote = row.oi_lq_vol_denominated_in == "QUOTE_ASSET"
    turnover = float(np.mean(scaled.v[:50] * scaled.c[:50])) + 1000.0
    dollars = turnover * (30.0 + 60.0 * hash_fraction(seed, "open interest", row.symbol))
    profile = ContractProfile(
        hash_key(seed, "contract", row.symbol),
        round_to_digits(dollars / price),
        in_quote,
        0 if in_quote else int(np.clip(np.floor(np.log10(price)) + 1, 0, 3)),
        interest_pct(row.exchange, seed, row.symbol),
    )
    return RecordedSource(scaled, profile)


def read_candles(path: Path) -> Candles | None:
    """Return the valid candles of a file, None if there are none."""
    try:
        content = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    by_time: dict[int, list[float]] = {}
    for bar in content if isinstance(content, list) else []:
        values = _values(bar)
        if values is not None:
            by_time[values[0]] = values[1]
    if not by_time:
        return None
    times = np.array(sorted(by_time), dtype=np.int64)
    table = np.array([by_time[int(time)] for time in times], dtype=np.float64)
    return Candles(times, *(np.ascontiguousarray(column) for column in table.T))


def _values(bar: Any) -> tuple[int, list[float]] | None:
    """Return the open in seconds and the five values of a bar, None for an invalid or unaligned bar."""
    if not isinstance(bar, dict):
        return None
    time, numbers = bar.get("time"), [bar.get(name) for name in _FIELDS]
    if not isinstance(time, int) or time % (BAR_SECONDS * 1000):
        return None
    sound = [float(number) for number in numbers if isinstance(number, int | float) and np.isfinite(number)]
    if len(sound) < len(_FIELDS) or min(sound[:4]) <= 0 or sound[4] < 0:
        return None
    return time // 1000, sound
