"""The chart of open interest that a market's own exchange gave."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from quant_assets.common.windows import Window
from quant_assets.dashboard.market_data import read_derivative_bars
from quant_assets.derivatives.store import DerivativesStore, ExchangeSnapshot

WINDOW = Window(datetime(2026, 1, 19, 17, 0, tzinfo=UTC))
END_MS = WINDOW.end_ms


def test_chart_has_the_values_of_windows_without_late_ones(tmp_path: Path) -> None:
    path = tmp_path / "derivatives.sqlite"
    moments = {
        END_MS - 1_800_000: 1.0,
        END_MS - 900_000: None,
        END_MS - 400_000: 9.0,
        END_MS: 2.0,
        END_MS + 900_000: 3.0,
    }
    with closing(DerivativesStore(path)) as store:
        store.add_snapshots(
            ExchangeSnapshot(
                exchange="BYBIT",
                symbol="BTCUSDT",
                closed_at_ms=moment,
                observed_at_ms=moment,
                open_interest=value,
                funding_rate_pct=0.01,
                interval_hours=8.0,
                simulated=False,
            )
            for moment, value in moments.items()
        )
    found = read_derivative_bars(path, "open_interest", "exchange:BTCUSDT", "BYBIT", WINDOW, 24)
    assert found.times_ms == (END_MS - 2_700_000, END_MS - 900_000)
    assert found.columns["close"] == (1.0, 2.0)
    assert read_derivative_bars(path, "open_interest", "exchange:BTCUSDT", "OKX", WINDOW, 24).times_ms == ()
