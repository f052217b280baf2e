"""The record of a window: which trades it counts, and what a signal's like was worth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from quant_assets.evaluation import Costs, TrackRecord, record, track_record
from quant_assets.evaluation.record import counted
from quant_assets.evaluation.scores import quartile_bounds, quartiles_of
from quant_assets.evaluation.trade_table import COLUMNS, empty_trades
from quant_assets_tests.evaluation.live import DAY, END, HOUR, random_trades

TRADES = random_trades(3_000)


def row(table: pd.DataFrame, period: int = 90, side: str = "", quartile: int = 0) -> pd.Series:
    of = table[(table["strategy"] == "Legacy") & (table["period_days"] == period)]
    return of[(of["side"] == side) & (of["quartile"] == quartile)].iloc[0]


@pytest.mark.parametrize("period", [7, 30, 90])
def test_statistics_are_those_of_the_record(period: int) -> None:
    known = counted(TRADES[TRADES["deadline_ms"] <= END])
    chosen = known[(known["strategy"] == "Legacy") & (known["entry_ms"] >= END - period * DAY)]
    expected, found = record(chosen, Costs()), row(track_record(TRADES, END), period)
    for name in ("n", "days", "asset_days", "too_few", "win_share", "mean_r", "edge_r"):
        assert found[name] == pytest.approx(expected[name]), name
    assert [found["mean_r_low"], found["mean_r_high"]] == pytest.approx(expected["mean_r_interval"])
    assert [found["edge_r_low"], found["edge_r_high"]] == pytest.approx(expected["edge_r_interval"])


def test_record_holds_nothing_that_was_not_known_at_the_windows_end() -> None:
    end_ms = END - 20 * DAY
    unknown = TRADES["deadline_ms"] > end_ms
    later = TRADES.assign(
        outcome=TRADES["outcome"].where(~unknown, "target"), net_r=TRADES["net_r"].where(~unknown, 9.0)
    )
    known_then = TRADES[~unknown].assign(mature=True)
    expected = track_record(known_then, end_ms)
    pd.testing.assert_frame_equal(track_record(TRADES, end_ms), expected)
    pd.testing.assert_frame_equal(track_record(later, end_ms), expected)


def test_expired_trade_is_known_when_the_bar_of_its_exit_has_closed() -> None:
    one = TRADES.head(1).assign(outcome="expired", entry_ms=END - 48 * HOUR, deadline_ms=END, exit_ms=END)
    assert track_record(one, END).empty
    assert len(track_record(one, END + HOUR // 4)) > 0


@pytest.mark.parametrize("change", [{"source": "late"}, {"hindsight": True}, {"mature": False}, {"outcome": "open"}])
def test_other_trades_do_not_count(change: dict[str, Any]) -> None:
    assert track_record(TRADES.assign(**change), END).empty


def test_signal_gets_the_trades_of_its_side_and_score_quartile() -> None:
    table = track_record(TRADES, END)
    of = counted(TRADES[(TRADES["deadline_ms"] <= END) & (TRADES["entry_ms"] >= END - 90 * DAY)])
    of = of[of["strategy"] == "Legacy"]
    quartile = quartiles_of(of["score"].to_numpy(), quartile_bounds(of["score"].to_numpy()))
    for score in (10.0, 50.0, 60.0, 62.0, 65.0, 70.0, 80.0, 100.0):
        own = quartiles_of(np.array([score]), quartile_bounds(of["score"].to_numpy()))
        like = of[(of["side"] == "SHORT") & (quartile == own)]
        found = TrackRecord.of(table).of_signal("Legacy", "SHORT", score)
        assert found is not None
        assert found["n"] == len(like)
        if len(like):
            assert found["mean_r"] == pytest.approx(like["net_r"].mean())
        else:
            assert found["mean_r"] is None


def test_few_trades_have_no_interval() -> None:
    few = TRADES[TRADES["strategy"] == "Legacy"].head(1).assign(entry_ms=END - 10 * DAY, deadline_ms=END - 8 * DAY)
    few = few.assign(outcome="stop")
    found = TrackRecord.of(track_record(few, END)).of_signal("Legacy", few["side"].iloc[0], 0.0)
    assert found is not None
    assert found["too_few"]
    assert found["mean_r_interval"] is None


def test_there_is_no_record_without_trades() -> None:
    assert TrackRecord.of(track_record(empty_trades(), END)).of_signal("Legacy", "LONG", 60.0) is None
    assert TrackRecord.of(None).of_signal("Legacy", "LONG", 60.0) is None
    assert TrackRecord.of(track_record(TRADES, END)).of_signal("Other", "LONG", 60.0) is None


def test_columns_of_trades_are_those_described() -> None:
    assert {name: str(dtype) for name, dtype in empty_trades().dtypes.items()} == {
        name: dtype for name, (dtype, _) in COLUMNS.items()
    }
