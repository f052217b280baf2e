"""Write candle files for tests, in the format of the scrapers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from quant_assets.candles import CandleTables

START_MS = 1_768_752_000_000  # 2026-01-18T16:00Z, on the grid of 4 hours
QUARTER_MS = 900_000


def bars(count: int = 5, step_ms: int = QUARTER_MS, start_ms: int = START_MS) -> list[dict[str, Any]]:
    """Return valid bars, each a little above the previous one."""
    return [
        {
            "time": start_ms + place * step_ms,
            "open": 10.0 + place,
            "high": 12.0 + place,
            "low": 9.5 + place,
            "close": 11.5 + place,
            "volume": 100.0 * place,
        }
        for place in range(count)
    ]


def write(folder: Path, name: str, content: Any) -> Path:
    """Write a file: bytes and text unchanged, anything else as JSON."""
    path = folder / name
    if not isinstance(content, bytes):
        content = (content if isinstance(content, str) else json.dumps(content)).encode()
    path.write_bytes(content)
    return path


def file_row(tables: CandleTables, name: str) -> pd.Series[Any]:
    """Return the files row of one file."""
    found = tables.files[tables.files["file"] == name]
    assert len(found) == 1
    return found.iloc[0]
