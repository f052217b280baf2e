"""The check of a strategy catches those that look ahead or never settle, and passes honest ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pandas as pd
import pytest

from quant_assets.common.timeframes import HTF, LTF
from quant_assets.signals import CheckReport, Features, Strategy, Verdict, check_strategy, discover_strategies
from quant_assets.signals.features.bars import MarketBars
from quant_assets_tests.signals.cheating_strategies import CHEATS, HONEST, UNSETTLED, WithIndicator
from quant_assets_tests.signals.factories import candles, walk

BUILT_IN = discover_strategies().strategies


@cache
def bars() -> pd.DataFrame:
    return candles(MarketBars("MEXC", "AUSDT", walk(1, 1500), walk(2, 1500, HTF, 0.02)))


def check(strategy: Strategy) -> CheckReport:
    return check_strategy(strategy, bars(), max_setups=4)


def found(report: CheckReport) -> set[tuple[str, str]]:
    return {(str(finding.kind), finding.indicator) for finding in report.findings}


@pytest.mark.parametrize("name", CHEATS)
def test_indicator_that_looks_ahead_is_named(name: str) -> None:
    report = check(WithIndicator(compute=CHEATS[name]))
    timeframe = HTF if name in {"centred", "filled_backwards"} else LTF
    assert ("look-ahead", f"peek ({timeframe})") in found(report)
    (text,) = [finding.text for finding in report.findings if finding.indicator and finding.kind == "look-ahead"]
    assert "MEXC AUSDT" in text
    assert "before the cut" in text


@pytest.mark.parametrize("name", ["centred", "normalised", "resampled"])
def test_setup_that_rests_on_later_bars_is_a_finding_of_the_whole_strategy(name: str) -> None:
    assert ("look-ahead", "") in found(check(WithIndicator(compute=CHEATS[name])))


@pytest.mark.parametrize("name", HONEST)
def test_honest_indicators_pass(name: str) -> None:
    report = check(WithIndicator(compute=HONEST[name]))
    assert [finding.text for finding in report.findings] == []
    assert report.moves
    assert report.setups == 4
    assert report.indicator_ms_per_market > 0


@pytest.mark.parametrize("strategy", BUILT_IN, ids=lambda strategy: strategy.key)
def test_built_in_strategies_pass(strategy: Strategy) -> None:
    report = check(strategy)
    assert [finding.text for finding in report.findings] == []


@pytest.mark.parametrize("name", UNSETTLED)
def test_indicator_that_never_settles_is_named(name: str) -> None:
    report = check(WithIndicator(compute=UNSETTLED[name]))
    assert {indicator for kind, indicator in found(report) if kind == "recursion" and indicator} == set(report.moves)


def test_look_back_that_is_too_short_is_a_finding() -> None:
    @dataclass(frozen=True)
    class Short(WithIndicator):
        look_back = 60

    report = check(Short(compute=lambda bars: {LTF: {"slow": bars[LTF]["close"].rolling(100).mean()}}))
    (finding,) = report.findings
    assert finding.text.startswith("recursion: slow (15m) is unknown with look_back = 60 bars")


def test_indicator_that_raises_is_a_finding() -> None:
    report = check(WithIndicator(compute=lambda bars: 1 / 0))  # type: ignore[arg-type, return-value]
    assert [finding.text for finding in report.findings] == [
        "error: the strategy raises ZeroDivisionError (division by zero): MEXC AUSDT"
    ]


def test_verdict_that_depends_on_the_order_of_calls_is_a_finding() -> None:
    @dataclass(frozen=True)
    class Remembers(WithIndicator):
        calls: Iterator[int] = field(default_factory=lambda: iter(range(10_000)), kw_only=True)

        def judge(self, features: Features) -> Verdict:
            verdict = super().judge(features)
            score = verdict.score + next(self.calls)
            return Verdict(verdict.bias, score, {"own": score}, verdict.reason, verdict.setup)

    def known(bars: Any) -> Any:
        return {LTF: {"mean": bars[LTF]["close"].rolling(5).mean()}}

    assert ("look-ahead", "") in found(check(Remembers(compute=known)))
