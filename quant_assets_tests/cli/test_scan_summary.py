"""The summary lines below the tables of a scan."""

from __future__ import annotations

from typing import Any

import pytest

from quant_assets.cli.rendering import scan_summary_lines

API = {"calls": 0, "requests": 0, "cache_hits": 0, "rate_limited": 0, "waited_seconds": 0}


def summary_of(*price_ages: float) -> str:
    """Return the summary of a feed with one market for each age of its price."""
    signals: list[dict[str, Any]] = [
        {
            "exchange": "BINANCE",
            "symbol": f"M{number}",
            "canonical_symbol": f"M{number}",
            "price_age_seconds": age,
            "conflict": None,
            "oi_metadata": {"age_seconds": None},
        }
        for number, age in enumerate(price_ages)
    ]
    stats = {
        "markets": len(signals),
        "strategies": ["Legacy"],
        "resolution": {"resolved": 0, "aggregated": 0, "neutral": len(signals)},
        "actions": {"LONG": 0, "SHORT": 0, "WAIT": len(signals)},
        "skipped": {},
    }
    return "\n".join(scan_summary_lines({"stats": stats, "signals": signals}, API, 1.0))


@pytest.mark.parametrize(
    ("ages", "line"),
    [
        ((0.0, 900.0, 960.0), "prices: 1 market has a price from 16 min or more before the window's end (marked ~)"),
        (
            (900.0, 1800.0, 108_000.0),
            "prices: 2 markets have a price from 16 min or more before the window's end (marked ~)",
        ),
    ],
)
def test_old_prices_are_counted_with_their_age(ages: tuple[float, ...], line: str) -> None:
    assert line in summary_of(*ages).splitlines()


def test_prices_of_the_last_two_bars_are_not_reported_as_old() -> None:
    assert "prices:" not in summary_of(0.0, 900.0)
