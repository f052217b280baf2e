"""Candle files that are longer than what is fetched of their markets, which takes their place in a scan."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from quant_assets.candles.bar_store import BarStore
from quant_assets.candles.candle_folder import CandleFolderError
from quant_assets.candles.candle_tables import read_scannable_candles
from quant_assets.candles.joined_tables import join_tables
from quant_assets.markets import ResolutionRules

MAX_NAMED: Final = 3


def find_longer_files(folder: Path, store: BarStore, rules: ResolutionRules) -> tuple[str, ...]:
    """Return the names of the files that have more of the newest bars than are fetched of their markets.

    Empty if the folder is missing or has no candle files. This reads all candles of both, as a scan does.
    """
    if not folder.is_dir():
        return ()
    try:
        files = read_scannable_candles(folder)
    except CandleFolderError:
        return ()
    stored = store.newest_of_all()
    return join_tables(files, stored, rules, files_are_simulated=False, simulated_exchanges=()).longer_files


def describe_longer_files(names: Sequence[str]) -> str:
    """Return what to tell of such files, and what helps; "" if there are none."""
    if not names:
        return ""
    shown = ", ".join(names[:MAX_NAMED]) + (f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else "")
    return f"{shown}: longer than what is fetched of the market; quant-assets fetch --days gets more history"
