"""Tests of the parsers of response bodies."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from quant_assets.providers.coinalyze.models import (
    MalformedResponse,
    read_exchanges,
    read_history,
    read_markets,
)

RESPONSES = Path(__file__).parents[4] / "shared" / "market_data" / "coinalyze" / "responses"


def test_invalid_points_are_skipped_and_counted() -> None:
    body = orjson.dumps(
        [
            {
                "symbol": "A",
                "history": [
                    {"t": 900, "r": 1.5, "l": 60, "s": 40},
                    {"t": 0, "r": 1, "l": 50, "s": 50},
                    {"t": 1800, "r": None, "l": 50, "s": 50},
                    {"t": 2700, "r": "1.25", "l": 55, "s": 45, "extra": 1},
                    {"t": 3600, "r": True, "l": 50, "s": 50},
                    {"t": 1768838400000, "r": 1, "l": 50, "s": 50},
                    {"r": 1, "l": 50, "s": 50},
                    "nonsense",
                ],
            }
        ]
    )
    rows, invalid = read_history(body, "r l s", ["A"])
    assert rows[0].points == ((900, 1.5, 60.0, 40.0), (2700, 1.25, 55.0, 45.0))
    assert invalid == 6


def test_points_are_sorted_and_the_last_duplicate_is_kept() -> None:
    points = [{"t": 1800, "l": 1, "s": 2}, {"t": 900, "l": 3, "s": 4}, {"t": 900, "l": 5, "s": 6}]
    body = orjson.dumps([{"symbol": "A", "history": points}])
    rows, invalid = read_history(body, "l s", ["A"])
    assert rows[0].points == ((900, 5.0, 6.0), (1800, 1.0, 2.0))
    assert invalid == 1


def test_unrequested_and_duplicate_symbols_are_skipped() -> None:
    body = b'[{"symbol": "A", "history": []}, {"symbol": "B", "history": []}, {"symbol": "A", "history": []}, 7]'
    rows, invalid = read_history(body, "l s", ["A", "C"])
    assert [row.symbol for row in rows] == ["A"]
    assert invalid == 3


@pytest.mark.parametrize("body", [b"", b"{}", b"<html>", b"[1, 2", b"null", b"\xff\xfe", b"[" * 5000])
def test_body_of_another_type_is_malformed(body: bytes) -> None:
    for read in (read_exchanges, read_markets, lambda body: read_history(body, "o h l c", ["A"])):
        with pytest.raises(MalformedResponse):
            read(body)


def test_missing_flag_of_a_market_is_false() -> None:
    rows, invalid = read_markets(
        b'[{"symbol": "BTC.H", "exchange": "H", "base_asset": "BTC", "is_perpetual": true}, {"symbol": "X"}]'
    )
    assert invalid == 1
    assert not rows[0].has_long_short_ratio_data
    assert rows[0].expire_at is None


@pytest.mark.parametrize(
    ("endpoint", "fields"),
    [("open-interest-history", "o h l c"), ("long-short-ratio-history", "r l s"), ("liquidation-history", "l s")],
)
def test_recorded_bodies_are_parsed_completely(endpoint: str, fields: str) -> None:
    folder = RESPONSES / endpoint
    if not folder.is_dir():
        pytest.skip(f"no sample data at {folder}")
    for file in sorted(folder.glob("*.json")):
        body = file.read_bytes()
        rows, invalid = read_history(body, fields, [file.stem])
        assert invalid == 0
        assert len(rows[0].points) == len(orjson.loads(body)[0]["history"])
