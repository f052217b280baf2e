"""Tests of a window's tables against values computed by hand."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quant_assets.common.windows import Window
from quant_assets.derivatives.open_interest import open_interest_statistics
from quant_assets.derivatives.snapshot import snapshot
from quant_assets.derivatives.store import DerivativesStore, Fetched

WINDOW = Window(datetime(2026, 1, 19, 17, 0, tzinfo=UTC))
END = WINDOW.end_seconds


def symbol_map(dataset: str, symbol: str = "A") -> pd.DataFrame:
    return pd.DataFrame(
        {
            "exchange": ["BINANCE", "MEXC"],
            "symbol": ["X", "Y"],
            f"{dataset}_symbol": [symbol, ""],
            f"{dataset}_exchange": ["Binance", ""],
            f"{dataset}_status": ["resolved", "neutral"],
            f"{dataset}_unit": ["BASE_ASSET", ""],
        }
    )


def store_with(
    tmp_path: Path, dataset: str, bars: dict[str, list[tuple[float, ...]]], through: int = END
) -> DerivativesStore:
    store = DerivativesStore(tmp_path / "store.sqlite")
    store.add(Fetched(dataset, ("A",), bars, END - 200_000, through, END * 1000, simulated=False))  # type: ignore[arg-type]
    return store


def test_z_score_uses_the_last_thirty_closes() -> None:
    closes = np.array([1000.0] * 50 + [float(value) for value in range(30)])
    recent = closes[-30:]
    expected = (29 - recent.mean()) / math.sqrt(((recent - recent.mean()) ** 2).mean())
    assert open_interest_statistics(closes)["z_score"] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("closes", [[5.0] * 40, [float(value) for value in range(13)], [0.1] * 29 + [0.1]])
def test_z_score_is_missing_for_flat_or_few_closes(closes: list[float]) -> None:
    assert math.isnan(open_interest_statistics(np.array(closes))["z_score"])


def test_slope_is_the_least_squares_slope() -> None:
    statistics = open_interest_statistics(np.array([3.0, 5.0, 7.0, 9.0]))
    assert statistics["slope"] == pytest.approx(2.0)
    assert statistics["average"] == 6.0
    assert statistics["value"] == 9.0


@pytest.mark.parametrize(("hours", "change"), [(23.75, 10.0), (23.0, 10.0), (22.75, None)])
def test_24h_change_needs_closes_23_hours_apart(tmp_path: Path, hours: float, change: float | None) -> None:
    first = END - 900 - int(hours * 3600)
    bars = {"A": [(first, 1.0, 1.0, 1.0, 200.0), (END - 8100, 1.0, 1.0, 1.0, 1.0), (END - 900, 1.0, 1.0, 1.0, 220.0)]}
    table = snapshot(store_with(tmp_path, "open_interest", bars), symbol_map("open_interest"), "open_interest", WINDOW)
    known, unknown = table["change_24h_pct"].tolist()
    assert math.isnan(known) if change is None else known == pytest.approx(change)
    assert math.isnan(unknown)


def test_24h_change_is_missing_if_open_interest_was_zero(tmp_path: Path) -> None:
    bars = {"A": [(END - 86400, 0.0, 0.0, 0.0, 0.0), (END - 900, 1.0, 1.0, 1.0, 1.0)]}
    table = snapshot(store_with(tmp_path, "open_interest", bars), symbol_map("open_interest"), "open_interest", WINDOW)
    assert table["change_24h_pct"].isna().all()


def test_open_interest_older_than_a_day_is_not_used(tmp_path: Path) -> None:
    bars = {"A": [(END - 86400 - 900, 1.0, 1.0, 1.0, 1.0)]}
    table = snapshot(store_with(tmp_path, "open_interest", bars), symbol_map("open_interest"), "open_interest", WINDOW)
    assert table["value"].isna().all()
    assert table["points"].tolist() == [0, 0]


def test_market_without_symbol_has_a_row_of_missing_values(tmp_path: Path) -> None:
    bars = {"A": [(END - 900, 0.01, 0.01, 0.01, 0.02)]}
    table = snapshot(store_with(tmp_path, "funding_rate", bars), symbol_map("funding_rate"), "funding_rate", WINDOW)
    assert table["funding_rate_pct"].tolist()[0] == 0.02
    assert table.loc[1, ["closed_at_ms", "funding_rate_pct", "interval_hours"]].isna().all()
    assert table["status"].tolist() == ["resolved", "neutral"]


def test_liquidations_are_summed_over_the_last_known_hour_and_day(tmp_path: Path) -> None:
    bars = [(END - 86400 - 900, 1e6, 1e6), (END - 86400, 1.0, 2.0), (END - 3600, 10.0, 0.0), (END - 900, 100.0, 5.0)]
    table = snapshot(
        store_with(tmp_path, "liquidations", {"A": bars}), symbol_map("liquidations"), "liquidations", WINDOW
    )
    row = table.iloc[0]
    assert (row["longs_1h"], row["shorts_1h"], row["longs_24h"], row["shorts_24h"]) == (110.0, 5.0, 111.0, 7.0)
    assert row["closed_at_ms"] == END * 1000


def test_liquidations_are_dated_by_the_time_through_which_they_are_known(tmp_path: Path) -> None:
    bars = {"A": [(END - 7200, 7.0, 0.0)]}
    store = store_with(tmp_path, "liquidations", bars, through=END - 3600)
    row = snapshot(store, symbol_map("liquidations"), "liquidations", WINDOW).iloc[0]
    assert row["longs_1h"] == 7.0
    assert row["closed_at_ms"] == (END - 3600) * 1000


def test_liquidations_are_zero_for_an_empty_history_and_missing_for_no_history(tmp_path: Path) -> None:
    quiet = snapshot(
        store_with(tmp_path / "1", "liquidations", {"A": []}), symbol_map("liquidations"), "liquidations", WINDOW
    )
    unknown = snapshot(
        store_with(tmp_path / "2", "liquidations", {}), symbol_map("liquidations"), "liquidations", WINDOW
    )
    assert quiet.iloc[0]["longs_24h"] == 0.0
    assert math.isnan(unknown.iloc[0]["longs_24h"])


@pytest.mark.parametrize("hours_ago", [0, 30, 48, 100])
def test_stale_liquidations_keep_their_sums_and_their_time(tmp_path: Path, hours_ago: int) -> None:
    through = END - hours_ago * 3600
    bars = {"A": [(through - 900 * n, 100.0, 1.0) for n in range(1, 300)]}
    store = DerivativesStore(tmp_path / "store.sqlite")
    store.add(Fetched("liquidations", ("A",), bars, through - 300_000, through, 0, simulated=False))
    row = snapshot(store, symbol_map("liquidations"), "liquidations", WINDOW).iloc[0]
    if math.isnan(row["longs_24h"]):
        assert hours_ago > 24  # no bar of the day before the window's end was requested
    else:
        assert (row["longs_1h"], row["longs_24h"]) == (400.0, 9600.0)
        assert row["closed_at_ms"] == through * 1000
