"""Responses with open interest and funding: what is unknown, what is invalid, and what cannot be right."""

from __future__ import annotations

from typing import Any

import pytest

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
    "body", [{}, [], None, {"data": None}, {"data": []}, {"data": [{}]}, {"data": [row("A", oi="x", rate="x")]}]
)
def test_response_that_cannot_be_right_is_an_error(body: Any) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        read_snapshot(REQUEST, body)
