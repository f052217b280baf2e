"""Tables of a window with what the markets' own exchanges say beside a provider's bars."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quant_assets.common.windows import Window
from quant_assets.derivatives.exchange_values import closing_ms, read_own_snapshots, without_known
from quant_assets.derivatives.snapshot import snapshot
from quant_assets.derivatives.store import DerivativesStore, ExchangeSnapshot, Fetched
from quant_assets.markets import ResolutionRules

WINDOW = Window(datetime(2026, 1, 19, 17, 0, tzinfo=UTC))
END = WINDOW.end_seconds
#: No straight line, so that z-scores differ with the number of points.
OWN = [100.0 + number % 7 + number * number / 40 for number in range(96)]
#: Of the same market, in a unit of which a thousand make one of the other, and with another course.
THOUSANDS = [1000.0 * (100 + number % 5) for number in range(96)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DerivativesStore]:
    with closing(DerivativesStore(tmp_path / "store.sqlite")) as opened:
        yield opened


def observe(store: DerivativesStore, windows: int, *, last_age: int = 0, **values: Any) -> None:
    """Store snapshots of so many windows in a row; the last is `last_age` windows older than the tested one."""
    store.add_snapshots(
        ExchangeSnapshot(
            **{
                "exchange": "BINANCE",
                "symbol": "BTCUSDT",
                "closed_at_ms": (END - 900 * (back + last_age)) * 1000,
                "observed_at_ms": (END - 900 * (back + last_age)) * 1000 + 3000,
                "open_interest": OWN[-1 - back],
                "funding_rate_pct": 0.02,
                "interval_hours": 4.0,
                "simulated": False,
                **values,
            }
        )
        for back in range(windows)
    )


def provide(store: DerivativesStore, bars: int, *, age: int = 0, dataset: str = "open_interest") -> None:
    """Store bars of Coinalyze; the last closed `age` windows before the tested window's end."""
    points = [(END - 900 * (back + age + 1), 1.0, 1.0, 1.0, THOUSANDS[-1 - back]) for back in range(bars)]
    store.add(Fetched(dataset, ("A",), {"A": points[::-1]}, END - 200_000, END, END * 1000, simulated=False))


def row(
    store: DerivativesStore, dataset: str = "open_interest", *, status: str = "resolved", exchange: str = "BINANCE"
) -> pd.Series[Any]:
    symbols = pd.DataFrame(
        {
            "exchange": [exchange],
            "symbol": ["BTCUSDT"],
            f"{dataset}_symbol": ["A" if status != "neutral" else ""],
            f"{dataset}_exchange": ["Binance" if status == "resolved" else "Bybit"],
            f"{dataset}_status": [status],
            f"{dataset}_unit": ["QUOTE_ASSET"],
        }
    )
    own = read_own_snapshots(store, WINDOW, ResolutionRules())
    return snapshot(store, symbols, dataset, WINDOW, own=own).iloc[0]


def z_score(values: list[float]) -> float:
    recent = np.array(values[-30:])
    return float((recent[-1] - recent.mean()) / recent.std())


def test_snapshot_of_the_window_is_its_value_with_unit_provider_and_status(store: DerivativesStore) -> None:
    observe(store, 1, simulated=True)
    found = row(store, status="neutral")
    assert found[["value", "unit", "provider", "status", "closed_at_ms", "points"]].tolist() == [
        OWN[-1],
        "BASE_ASSET",
        "exchange",
        "resolved",
        END * 1000,
        1,
    ]
    assert found["coinalyze_symbol"] == "exchange:BTCUSDT"
    assert found["simulated"]
    assert math.isnan(found["z_score"])


def test_z_score_with_few_snapshots_is_that_of_the_provider_alone(store: DerivativesStore) -> None:
    """The provider's unit is a thousandth: a score of both series together would be far off."""
    observe(store, 29)
    provide(store, 96)
    found = row(store)
    assert found["value"] == OWN[-1]
    assert found["z_score"] == pytest.approx(z_score(THOUSANDS), abs=1e-12)
    assert (found["provider"], found["z_score_provider"]) == ("exchange", "coinalyze")
    assert found["average"] == pytest.approx(np.mean(OWN[-29:]))
    assert found["points"] == 29


def test_z_score_with_thirty_snapshots_is_that_of_the_exchange(store: DerivativesStore) -> None:
    observe(store, 30)
    provide(store, 96)
    found = row(store)
    assert found["z_score"] == pytest.approx(z_score(OWN), abs=1e-12)
    assert (found["provider"], found["z_score_provider"]) == ("exchange", "")


def test_first_source_with_14_points_scores_if_none_has_30(store: DerivativesStore) -> None:
    observe(store, 14)
    provide(store, 20)
    assert row(store)["z_score"] == pytest.approx(z_score(OWN[-14:]), abs=1e-12)


def test_z_score_is_missing_if_the_only_long_series_is_old(store: DerivativesStore) -> None:
    observe(store, 5)
    provide(store, 96, age=9)
    found = row(store)
    assert math.isnan(found["z_score"])
    assert found["z_score_provider"] == ""


def test_change_of_24_hours_is_that_of_the_first_series_of_23_hours(store: DerivativesStore) -> None:
    observe(store, 92)
    provide(store, 96, age=1)
    assert row(store)["change_24h_pct"] == pytest.approx((THOUSANDS[-1] / THOUSANDS[1] - 1) * 100)
    observe(store, 93)
    assert row(store)["change_24h_pct"] == pytest.approx((OWN[-1] / OWN[-93] - 1) * 100)


def test_change_of_24_hours_is_missing_while_the_only_long_series_is_old(store: DerivativesStore) -> None:
    observe(store, 40)
    provide(store, 96, age=5)
    assert math.isnan(row(store)["change_24h_pct"])


def test_window_without_a_snapshot_takes_the_newer_value(store: DerivativesStore) -> None:
    observe(store, 40, last_age=2)
    provide(store, 96)
    found = row(store)
    assert (found["value"], found["unit"], found["provider"]) == (THOUSANDS[-1], "QUOTE_ASSET", "coinalyze")
    assert found["z_score"] == pytest.approx(z_score(OWN), abs=1e-12)
    assert found["z_score_provider"] == "exchange"


def test_own_exchange_is_preferred_to_a_newer_stand_in_for_two_hours(store: DerivativesStore) -> None:
    observe(store, 1, last_age=8)
    provide(store, 96)
    assert row(store, status="aggregated")["status"] == "resolved"


def test_own_exchange_gives_way_to_a_stand_in_after_two_hours(store: DerivativesStore) -> None:
    observe(store, 1, last_age=9)
    provide(store, 96)
    assert row(store, status="aggregated")["provider"] == "coinalyze"


def test_snapshot_seen_after_the_window_is_not_used(store: DerivativesStore) -> None:
    observe(store, 1, closed_at_ms=END * 1000 + 1)
    assert math.isnan(row(store, status="neutral")["value"])


def test_snapshot_of_another_exchange_is_not_used(store: DerivativesStore) -> None:
    observe(store, 1)
    assert math.isnan(row(store, status="neutral", exchange="BYBIT")["value"])


def test_funding_has_the_interval_that_the_exchange_says(store: DerivativesStore) -> None:
    observe(store, 1)
    provide(store, 1, dataset="funding_rate")
    found = row(store, "funding_rate")
    assert found[["funding_rate_pct", "interval_hours", "provider"]].tolist() == [0.02, 4.0, "exchange"]


def test_interval_that_nobody_says_is_missing(store: DerivativesStore) -> None:
    observe(store, 1, interval_hours=None)
    assert math.isnan(row(store, "funding_rate")["interval_hours"])


@pytest.mark.parametrize(("seconds", "closes"), [(0.5, 0), (119.9, 0), (120, 0), (120.1, 120.1), (899.9, 899.9)])
def test_snapshot_within_120_s_of_a_window_belongs_to_it(seconds: float, closes: float) -> None:
    assert closing_ms((END + seconds) * 1000) == int((END + closes) * 1000)


@pytest.mark.parametrize(("windows", "last_age", "asked"), [(30, 0, ["", ""]), (29, 0, ["A", ""]), (40, 1, ["A", "A"])])
def test_provider_is_asked_for_what_the_exchange_did_not_give(
    store: DerivativesStore, windows: int, last_age: int, asked: list[str]
) -> None:
    observe(store, windows, last_age=last_age)
    columns = ["open_interest_symbol", "funding_rate_symbol", "liquidations_symbol"]
    symbols = pd.DataFrame([["BINANCE", "BTCUSDT", "A", "A", "A"]], columns=["exchange", "symbol", *columns])
    found = without_known(symbols, read_own_snapshots(store, WINDOW, ResolutionRules()), WINDOW)
    assert found.loc[0, columns].tolist() == [*asked, "A"]
