"""Responses with open interest and funding: what is unknown, what is invalid, and what cannot be right."""

from __future__ import annotations

from typing import Any

import pytest

from quant_assets.providers.exchanges.snapshot_catalogue import SNAPSHOT_REQUESTS
from quant_assets.providers.exchanges.snapshot_requests import SnapshotRequest, read_snapshot, rows_at

REQUEST = SnapshotRequest(
    method="", rows=rows_at("data"), open_interest="oi", funding_rate="rate", interval_hours=lambda row: row.get("h")
)


def row(symbol: str, oi: Any = "1", rate: Any = "0.0001") -> dict[str, Any]:
    return {"symbol": symbol, "oi": oi, "rate": rate}


def test_empty_field_is_unknown_and_not_zero() -> None:
    values = read_snapshot(REQUEST, {"data": [row("A", oi="", rate=None), row("B", oi="0")]})
    assert (values.open_interest, values.funding_rate, values.invalid) == ({"B": 0.0}, {"B": 0.0001}, 0)


@pytest.mark.parametrize("value", ["x", "NaN", "-1", [], "inf"])
def test_invalid_open_interest_costs_only_its_market(value: Any) -> None:
    values = read_snapshot(REQUEST, {"data": [row("A", oi=value), row("B")]})
    assert (values.open_interest, values.invalid) == ({"B": 1.0}, 1)


def test_funding_that_is_no_fraction_is_invalid() -> None:
    assert read_snapshot(REQUEST, {"data": [row("A", rate="5"), row("B")]}).funding_rate == {"B": 0.0001}


@pytest.mark.parametrize(
    ("exchange", "field"), [("BINANCE", "fundingIntervalHours"), ("BITGET", "fundingRateInterval")]
)
def test_one_invalid_interval_costs_only_its_market(exchange: str, field: str) -> None:
    request = next(each for each in SNAPSHOT_REQUESTS[exchange] if not (each.open_interest or each.funding_rate))
    rows = [{"symbol": f"A{number}", field: "4"} for number in range(300)] + [{"symbol": "B", field: 0}]
    values = read_snapshot(request, rows if exchange == "BINANCE" else {"data": rows})
    assert (set(values.interval_hours), values.invalid) == ({f"A{number}" for number in range(300)}, 1)


@pytest.mark.parametrize(
    ("exchange", "wrong", "good"),
    [
        ("BYBIT", {"fundingIntervalHour": "eight"}, {"fundingIntervalHour": "8"}),
        ("OKX", {"fundingTime": "soon", "nextFundingTime": "7200000"}, {"fundingTime": "1", "nextFundingTime": "2"}),
        ("OKX", {"fundingTime": "3600000", "nextFundingTime": "later"}, {"fundingTime": "1", "nextFundingTime": "2"}),
    ],
)
def test_interval_that_is_text_costs_only_itself(exchange: str, wrong: dict[str, Any], good: dict[str, Any]) -> None:
    request = next(each for each in SNAPSHOT_REQUESTS[exchange] if each.interval_hours is not None)
    rows = [
        {request.symbol: symbol, "openInterest": "1", "fundingRate": "0.0001", **fields}
        for symbol, fields in (("A", wrong), ("B", good))
    ]
    values = read_snapshot(request, {"data": rows} if exchange == "OKX" else {"result": {"list": rows}})
    assert (set(values.interval_hours), set(values.funding_rate), values.invalid) == ({"B"}, {"A", "B"}, 1)


@pytest.mark.parametrize(
    "body", [{}, [], None, {"data": None}, {"data": []}, {"data": [{}]}, {"data": [row("A", oi="x", rate="x")]}]
)
def test_response_that_cannot_be_right_is_an_error(body: Any) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        read_snapshot(REQUEST, body)
