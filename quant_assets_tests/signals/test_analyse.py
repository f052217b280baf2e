"""One market without Dagster."""

from __future__ import annotations

from datetime import timedelta

import pandas as pd
import pytest

from quant_assets.common.timeframes import HTF, LTF
from quant_assets.common.windows import Window
from quant_assets.signals import (
    DerivativeInputs,
    LookAheadError,
    analyse,
    discover_strategies,
    features_of,
    features_table,
    run_strategy,
)
from quant_assets.signals.strategies.legacy import Legacy
from quant_assets_tests.signals.factories import NO_TABLE, WINDOW, random_candles

TABLE = random_candles(1)
SIDES = {timeframe: TABLE[TABLE["timeframe"] == timeframe] for timeframe in (LTF, HTF)}


def test_analyse_agrees_with_the_features_table() -> None:
    features = features_table(TABLE, NO_TABLE, {}, WINDOW)
    signals = analyse(SIDES[LTF], SIDES[HTF], WINDOW, exchange="MEXC", symbol="M000USDT")
    assert [signal.strategy for signal in signals] == list(discover_strategies().strategies)
    for signal in signals:
        assert signal.features == features_of(features)[0]
        row = run_strategy(signal.strategy, features).iloc[0]
        assert (signal.verdict.action, signal.verdict.score, signal.verdict.reason) == (
            row["action"],
            row["score"],
            row["reason"],
        )


def test_analyse_ignores_bars_that_are_not_closed() -> None:
    earlier = Window(WINDOW.end - timedelta(hours=1))
    (signal,) = analyse(SIDES[LTF], SIDES[HTF], earlier, strategies=[Legacy()])
    assert signal.features.ltf_closed_at_ms == earlier.end_ms


def test_strategies_and_their_parameters_can_be_chosen() -> None:
    never, ever = analyse(SIDES[LTF], SIDES[HTF], WINDOW, strategies=[Legacy(threshold=101.0), Legacy(threshold=0.0)])
    assert never.verdict.reason in {"score_below_threshold", "no_trend"}
    assert ever.verdict.reason != "score_below_threshold"


def test_analyse_uses_derivatives() -> None:
    inputs = DerivativeInputs(oi_status="resolved", oi_z_score=3.0, oi_closed_at_ms=WINDOW.end_ms)
    (signal,) = analyse(SIDES[LTF], SIDES[HTF], WINDOW, inputs, [Legacy()])
    assert signal.verdict.parts["oi_flow"] == 20.0


def test_analyse_refuses_a_derivative_that_closed_later() -> None:
    with pytest.raises(LookAheadError):
        analyse(SIDES[LTF], SIDES[HTF], WINDOW, DerivativeInputs(funding_closed_at_ms=WINDOW.end_ms + 1))


def test_analyse_without_a_closed_bar_is_an_error() -> None:
    with pytest.raises(ValueError, match="No closed bar before"):
        analyse(SIDES[LTF].iloc[:0], SIDES[HTF].iloc[:0], WINDOW)


def test_analyse_refuses_bars_out_of_order() -> None:
    with pytest.raises(ValueError, match="sorted"):
        analyse(SIDES[LTF].iloc[::-1], SIDES[HTF], WINDOW)


def test_one_timeframe_alone_is_insufficient_history() -> None:
    signals = analyse(SIDES[LTF], pd.DataFrame(SIDES[HTF].iloc[:0]), WINDOW)
    assert {signal.verdict.reason for signal in signals} == {"insufficient_history"}
