"""The check of a strategy: look-ahead, recursion and speed on the candles of many markets."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import numpy as np
import pandas as pd

from quant_assets.common.timeframes import LTF
from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.signals.checking.finding import Finding, Kind, worst_of_each
from quant_assets.signals.checking.look_ahead import Reference, look_ahead_at, look_ahead_in_short_history
from quant_assets.signals.checking.recursion import MIN_LONGEST, Moves, moves_of
from quant_assets.signals.checking.verdicts import look_ahead_of_verdict, recursion_of_verdict
from quant_assets.signals.features.bars import MAX_BARS
from quant_assets.signals.features.table import candle_features_table, join_features
from quant_assets.signals.own.market_candles import MarketCandles
from quant_assets.signals.own.series import has_indicators, values_at
from quant_assets.signals.own.values import Market, OwnValues, own_values, usable_markets
from quant_assets.signals.run import run_strategy
from quant_assets.signals.strategy import Strategy

RANDOM_CUTS: Final = 20
MAX_SETUPS: Final = 200
SHORT_HISTORIES: Final = 60
SEARCHED_WINDOWS: Final = 24
"""Windows that are searched for setups."""
SEARCHED_BARS: Final = 960
"""The searched windows are among the last ten days of the candles."""
RECURSION_MARKETS: Final = 20
RECURSION_SETUPS: Final = 20
SEED: Final = 7


@dataclass
class CheckReport:
    """What a check did and found; times are in seconds."""

    strategy: str
    markets: int
    windows: int = 0
    setups: int = 0
    findings: list[Finding] = field(default_factory=list)
    moves: Moves = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    indicator_ms_per_market: float = 0.0
    judge_us_per_market: float = 0.0
    seconds: float = 0.0


def check_strategy(
    strategy: Strategy, candles: pd.DataFrame, seed: int = SEED, max_setups: int = MAX_SETUPS
) -> CheckReport:
    """Check a strategy on a candles table: for look-ahead, recursion and speed.

    Each indicator is computed on up to 1,500 bars of each market. It is compared at 20 random cuts, at up to
    `max_setups` setups and on histories of 1 to 60 bars, with the bars after the cut missing and replaced. The verdict
    is compared at the same setups. `candles` has 15m bars.
    """
    started = time.process_time()
    random = np.random.default_rng(seed)
    by_market = MarketCandles(candles)
    newest = _newest_window(candles)
    report = CheckReport(strategy.name, len(by_market.markets))
    references = _references(strategy, by_market, newest, report)
    setups = _setups(strategy, candles, by_market, references, newest, report)
    setups = [setups[number] for number in random.permutation(len(setups))[:max_setups]]
    report.setups = len(setups)
    chosen = {market: references.get(market) for market, _ in setups}
    if has_indicators(strategy) and references:
        report.findings += _look_ahead(strategy, references, setups, newest, random)
        longest = sorted(references.values(), key=lambda found: -sum(map(len, found.bars.values())))
        report.moves, findings = moves_of(strategy, longest[:RECURSION_MARKETS])
        report.findings += findings
        if not report.moves:
            report.notes.append(f"recursion of indicators was not measured: no market has {MIN_LONGEST} bars")
    for number, (market, window) in enumerate(setups):
        reference = chosen[market]
        bars = by_market.closed_bars(market, newest.end_ms, MAX_BARS) if reference is None else reference.bars
        try:
            report.findings += look_ahead_of_verdict(strategy, market, bars, window)
            if number < RECURSION_SETUPS:
                report.findings += recursion_of_verdict(strategy, market, bars, window)
        except Exception as error:  # noqa: BLE001 - a strategy may raise anything
            raised = f"raises {type(error).__name__} ({error})"
            report.findings.append(Finding(Kind.ERROR, "", " ".join(market), window.key, None, raised))
    if not setups:
        report.notes.append("the whole strategy was not compared: it has no setup in the searched windows")
    report.findings = worst_of_each(report.findings)
    report.seconds = time.process_time() - started
    return report


def _newest_window(candles: pd.DataFrame) -> Window:
    """Return the window at whose end the newest 15m bar closes."""
    opening = int(candles.loc[candles["timeframe"] == LTF, "time_ms"].max())
    return Window(datetime.fromtimestamp(opening / 1000, UTC) + WINDOW_LENGTH)


def _references(
    strategy: Strategy, by_market: MarketCandles, newest: Window, report: CheckReport
) -> dict[Market, Reference]:
    """Return the whole histories with the series on them; a market on which the strategy raises is a finding."""
    references: dict[Market, Reference] = {}
    if not has_indicators(strategy):
        return references
    for market in by_market.markets:
        bars = by_market.closed_bars(market, newest.end_ms, MAX_BARS)
        try:
            references[market] = Reference.of(strategy, market, bars)
        except Exception as error:  # noqa: BLE001 - a strategy may raise anything
            raised = f"raises {type(error).__name__} ({error})"
            report.findings.append(Finding(Kind.ERROR, "", " ".join(market), "", None, raised))
    return references


def _setups(
    strategy: Strategy,
    candles: pd.DataFrame,
    by_market: MarketCandles,
    references: Mapping[Market, Reference],
    newest: Window,
    report: CheckReport,
) -> list[tuple[Market, Window]]:
    """Return the markets and windows with a setup, among windows of the last ten days; also measure the speed."""
    step = SEARCHED_BARS // SEARCHED_WINDOWS
    setups: list[tuple[Market, Window]] = []
    judged, seconds = 0, 0.0
    for number in range(SEARCHED_WINDOWS):
        # 15 minutes less than ten hours apart, so that windows end at all places within a 4h bar
        window = Window(newest.end - number * (step - 1) * WINDOW_LENGTH)
        features = join_features(candle_features_table(candles, window), pd.DataFrame(), {}, window)
        markets = usable_markets(features)
        if not markets:
            continue
        report.windows += 1
        if number == 0 and has_indicators(strategy):
            sample = markets[:: max(len(markets) // 30, 1)]
            started = time.process_time()
            own_values(strategy, by_market, sample, window)
            report.indicator_ms_per_market = (time.process_time() - started) / len(sample) * 1000
        own = _known_later(references, markets, window) if has_indicators(strategy) else None
        started = time.process_time()
        table = run_strategy(strategy, features, lambda _: None, own=own)
        seconds += time.process_time() - started
        judged += len(table)
        found = table[table["side"] != ""]
        setups += [(market, window) for market in zip(found["exchange"], found["symbol"], strict=True)]
    report.judge_us_per_market = seconds / max(judged, 1) * 1e6
    return setups


def _known_later(references: Mapping[Market, Reference], markets: list[Market], window: Window) -> OwnValues:
    """Return the values at a window's end, taken from series over the whole histories."""
    end_ms = window.end_ms
    values = {
        (*market, end_ms): values_at(references[market].series, references[market].bars, end_ms)
        for market in markets
        if market in references
    }
    names = dict.fromkeys(name for known in values.values() for name in known)
    missing = {(*market, end_ms): "no series" for market in markets if market not in references}
    return OwnValues(tuple(names), values, missing)


def _look_ahead(
    strategy: Strategy,
    references: Mapping[Market, Reference],
    setups: list[tuple[Market, Window]],
    newest: Window,
    random: np.random.Generator,
) -> Iterator[Finding]:
    every = list(references.values())
    for _ in range(RANDOM_CUTS):
        reference = every[random.integers(len(every))]
        bars = max(len(reference.bars[LTF]), 2)
        window = Window(newest.end - int(random.integers(1, bars)) * WINDOW_LENGTH)
        yield from look_ahead_at(strategy, reference, window)
    for market, window in setups:
        if market in references:
            yield from look_ahead_at(strategy, references[market], window)
    for bars in range(1, SHORT_HISTORIES + 1):
        yield from look_ahead_in_short_history(strategy, every[random.integers(len(every))], bars)
