"""Running a strategy over a features table."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quant_assets.signals import (
    LONG,
    Features,
    Reason,
    Setup,
    Side,
    Strategy,
    StrategyError,
    Verdict,
    discover_strategies,
    judge,
    run_strategy,
    table_of,
)
from quant_assets_tests.signals.factories import breakout_features, features

BUILT_IN = discover_strategies().strategies
ALL = pytest.mark.parametrize("strategy", BUILT_IN, ids=lambda strategy: strategy.key)


@dataclass(frozen=True)
class Simple(Strategy):
    """A strategy that returns the verdict it was created with."""

    name = "Simple"
    key = "simple"
    description = "for tests"
    strategy_type = "test"
    parts = ("one", "two")
    filters = ("gate",)

    says: Verdict

    def judge(self, features: Features) -> Verdict:
        return self.says


def told(**changes: Any) -> Simple:
    waits = Verdict("NONE", 3.0, {"two": 2.0, "one": 1.0}, "no_reason", filters={"gate": None})
    return Simple(replace(waits, **changes))


def test_row_holds_the_verdict() -> None:
    setup = Setup("LONG", 100.0, 95.0, 110.0)
    strategy = told(bias="LONG", reason="", setup=setup, filters={"gate": True})
    table = run_strategy(strategy, table_of([features(), features(symbol="ETHUSDT")]))
    assert table.iloc[1].to_dict() == {
        "exchange": "HYPERLIQUID",
        "symbol": "ETHUSDT",
        "strategy_name": "Simple",
        "bias": "LONG",
        "action": "LONG",
        "score": 3.0,
        "reason": "",
        "reason_value": pytest.approx(float("nan"), nan_ok=True),
        "reason_bound": pytest.approx(float("nan"), nan_ok=True),
        "entry": 100.0,
        "stop_loss": 95.0,
        "take_profit": 110.0,
        "rr": 2.0,
        "side": "LONG",
        "part_one": 1.0,
        "part_two": 2.0,
        "filter_gate": True,
    }


@pytest.mark.parametrize(("min_stop_pct", "action"), [(0.5, "WAIT"), (0.4, "LONG"), (0.0, "LONG")])
def test_stop_too_close_is_refused_for_any_strategy(min_stop_pct: float, action: str) -> None:
    setup = Setup("LONG", 100.0, 99.6, 110.0)
    strategy = replace(told(bias="LONG", reason="", setup=setup), min_stop_pct=min_stop_pct)
    row = run_strategy(strategy, table_of([features()])).iloc[0]
    assert (row["action"], row["bias"], row["part_one"]) == (action, "LONG", 1.0)
    if action == "WAIT":
        assert (row["reason"], row["rr"], row["side"]) == ("stop_too_close", 0.0, "")
        assert (row["reason_value"], row["reason_bound"]) == (pytest.approx(0.4), 0.5)


def test_insufficient_history_reports_the_bars_and_the_minimum() -> None:
    short = features(unusable="insufficient_history", ltf_bars=300, htf_bars=12)
    row = run_strategy(told(), table_of([short])).iloc[0]
    assert (row["reason"], row["reason_value"], row["reason_bound"]) == ("insufficient_history", 12.0, 50.0)


def test_enum_members_and_plain_strings_give_the_same_table() -> None:
    markets = table_of([features()])
    members = told(bias=LONG, reason="", setup=Setup(LONG, 100.0, 95.0, 110.0))
    strings = told(bias="LONG", reason="", setup=Setup("LONG", 100.0, 95.0, 110.0))
    pd.testing.assert_frame_equal(run_strategy(members, markets), run_strategy(strings, markets))
    assert isinstance(judge(members, features()).action, Side)
    waits = run_strategy(told(reason=Reason.NO_TREND), markets)
    assert (waits["action"].item(), waits["reason"].item()) == ("WAIT", "no_trend")


def test_row_without_a_setup_has_a_reason_and_no_prices() -> None:
    row = run_strategy(told(), table_of([features()])).iloc[0]
    assert (row["action"], row["reason"], row["rr"], row["side"], row["filter_gate"]) == (
        "WAIT",
        "no_reason",
        0.0,
        "",
        None,
    )
    assert row[["entry", "stop_loss", "take_profit"]].isna().all()


def test_numbers_are_float64_and_texts_are_str() -> None:
    table = run_strategy(told(), table_of([features()]))
    numbers = ["score", "entry", "stop_loss", "take_profit", "rr", "part_one", "part_two"]
    assert (table[numbers].dtypes == np.float64).all()
    texts = ["exchange", "symbol", "strategy_name", "bias", "action", "reason", "side"]
    assert (table[texts].dtypes == pd.Series(dtype="str").dtype).all()
    assert table["filter_gate"].dtype == object


def test_no_markets_give_an_empty_table_with_the_same_columns() -> None:
    empty, full = (run_strategy(told(), table_of(rows)) for rows in ([], [features()]))
    assert empty.empty
    assert empty.dtypes.to_dict() == full.dtypes.to_dict()


def test_score_and_parts_are_rounded_to_6_decimals() -> None:
    verdict = judge(told(score=1 / 3, parts={"one": 1 / 3, "two": 0.0}), features())
    assert (verdict.score, verdict.parts["one"]) == (0.333333, 0.333333)


@ALL
@pytest.mark.parametrize("unusable", ["insufficient_history", "stale_candles"])
def test_unusable_market_waits_with_a_score_of_0(strategy: Strategy, unusable: str) -> None:
    market = breakout_features(unusable=unusable, trend_bias="LONG", oi_z=3.0, funding_rate_pct=-1.0)
    row = run_strategy(strategy, table_of([market])).iloc[0]
    assert (row["action"], row["bias"], row["score"], row["reason"]) == ("WAIT", "NONE", 0.0, unusable)
    assert all(row[f"part_{part}"] == 0.0 for part in strategy.parts)
    assert all(row[f"filter_{name}"] is None for name in strategy.filters)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"parts": {"one": 1.0}}, "parts"),
        ({"parts": {"one": 1.0, "two": 2.0, "three": 3.0}}, "parts"),
        ({"filters": {}}, "filters"),
        ({"bias": "UP"}, "bias"),
        ({"reason": ""}, "without a reason"),
        ({"setup": Setup("LONG", 2.0, 1.0, 3.0)}, "both a setup and a reason"),
        ({"score": float("nan")}, "finite"),
    ],
)
def test_verdict_that_breaks_its_declaration_is_an_error(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(StrategyError, match=f"Simple on HYPERLIQUID BTCUSDT: .*{complaint}"):
        run_strategy(told(**changes), table_of([features()]))
