"""Scaled and mirrored prices: which results stay the same, which are mirrored, and which may differ.

When prices are mirrored as K − price, these are mirrored too: RSI, trendlines, triggers and their strength, OBV, trend,
Legacy and the parts of BreakoutV2. Rules in percent of the price are not (`price_moved_away`, Breakout's geometry), nor
is a target that would be below 0. Nothing is symmetric under K / price, since RSI sums differences.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest

from quant_assets.common.timeframes import HTF, LTF
from quant_assets.signals import Features, TrendLine, judge, market_features
from quant_assets.signals.features import indicators
from quant_assets.signals.features.bars import MarketBars, bars_of
from quant_assets.signals.strategies.breakout_v2 import BreakoutV2
from quant_assets_tests.faults.folders import WINDOW, feed_of, files_of, made, real_files, write_files
from quant_assets_tests.faults.seeding import rounds
from quant_assets_tests.signals.random_markets import Market
from quant_assets_tests.signals.reference_inputs import Bar

MARKETS = made(rounds(60, 600))
PRICES = ("open", "high", "low", "close")
#: Fields of a feed in the unit of the price; `vol24h` is price times volume.
IN_PRICE = {"price", "ema50", "ema200", "entry", "stop_loss", "take_profit", "sl", "tp", "atr", "close_price"}
IN_PRICE |= {"reverse_rsi_price", "vol24h"}


@pytest.fixture(scope="module")
def feed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return feed_of(write_files(tmp_path_factory.mktemp("made"), files_of(MARKETS)), MARKETS)


def changed(markets: Iterable[Market], change: Callable[[Bar], Bar]) -> list[Market]:
    return [replace(m, ltf=[change(bar) for bar in m.ltf], htf=[change(bar) for bar in m.htf]) for m in markets]


def same_but_for_the_unit(one: Any, two: Any, factor: float, key: str = "") -> None:
    """Assert that two documents are equal to the last bit, apart from a factor on fields in the unit of the price."""
    if isinstance(one, dict):
        assert one.keys() == two.keys()
        for name in one:
            same_but_for_the_unit(one[name], two[name], factor, name)
    elif isinstance(one, list):
        assert len(one) == len(two)
        for left, right in zip(one, two, strict=True):
            same_but_for_the_unit(left, right, factor, key)
    elif key in IN_PRICE and one is not None:
        assert two == one * factor, key
    else:
        assert two == one, key


@pytest.mark.parametrize("factor", [1024.0, 2.0**-20])
def test_prices_times_a_power_of_two_change_only_prices(feed: dict[str, Any], tmp_path: Path, factor: float) -> None:
    """A power of two changes only the exponent of a float, so every rounding is the same."""
    other = changed(MARKETS, lambda bar: bar._replace(**{name: getattr(bar, name) * factor for name in PRICES}))
    found = feed_of(write_files(tmp_path / "scaled", files_of(other)), other)
    same_but_for_the_unit(feed["signals"], found["signals"], factor)


def test_real_prices_times_1024_change_only_prices(tmp_path: Path) -> None:
    files = real_files(rounds(25, 200))
    scaled = {}
    for name, content in files.items():
        bars = orjson.loads(content)
        scaled[name] = orjson.dumps([bar | {price: float(bar[price]) * 1024.0 for price in PRICES} for bar in bars])
    one, two = (feed_of(write_files(tmp_path / name, files)) for name, files in (("one", files), ("two", scaled)))
    same_but_for_the_unit(one["signals"], two["signals"], 1024.0)


def times_1000(price: float) -> float:
    """Return a price times 1000, computed on its decimal digits as it would be quoted."""
    return float(Decimal(repr(price)) * 1000)


def test_prices_times_1000_change_scores_by_one_last_digit_at_most(feed: dict[str, Any], tmp_path: Path) -> None:
    """Rounding changes each price by one part in 10¹⁶; comparisons have a margin of one in 10⁹, so no verdict changes.

    A score may change by 10⁻⁶, its last digit. One comparison has no margin, since it is TA-Lib's own: where a bar's
    high rises by as many ticks as its low falls, ADX counts neither move, unless rounding makes one of them larger.
    Where ADX crosses 25 because of this, Legacy's trend may differ.
    """
    other = changed(MARKETS, lambda bar: bar._replace(**{name: times_1000(getattr(bar, name)) for name in PRICES}))
    found = feed_of(write_files(tmp_path / "scaled", files_of(other)), other)
    by_name = {(signal["symbol"], signal["strategy_name"]): signal for signal in found["signals"]}
    tipped = 0
    for one in feed["signals"]:
        two = by_name[one["symbol"], one["strategy_name"]]
        parts, others = one["details"]["score_breakdown"], two["details"]["score_breakdown"]
        if "trend" in parts and (one["htf"]["adx"] > 25.0) != (two["htf"]["adx"] > 25.0):
            tipped += 1
            parts, others = ({**points, "trend": 0.0, "total": 0.0} for points in (parts, others))
        else:
            assert verdict(one) == verdict(two)
            assert one["rr"] == pytest.approx(two["rr"], rel=1e-6)
        assert parts == pytest.approx(others, abs=1.1e-6)
    assert tipped <= len(MARKETS) // 50


def verdict(signal: dict[str, Any]) -> tuple[str, str, str | None]:
    return signal["action"], signal["bias"], signal["details"]["reason"]


def market_bars(market: Market) -> MarketBars:
    """Return the closed bars of a generated market in the form that signals use."""
    ltf, htf = (pd.DataFrame(bars, columns=list(Bar._fields)) for bars in (market.ltf, market.htf))
    return MarketBars("MADE", market.symbol, bars_of(ltf, LTF, WINDOW), bars_of(htf, HTF, WINDOW))


def upside_down(market: Market) -> tuple[Market, float] | None:
    """Mirror a market's prices on their decimal digits, and return it with the sum of a price and its mirror.

    Return None for a market whose timeframes differ so much in price that the lower one would lose digits.
    """
    top, other = (max(bar.high for bar in bars) for bars in (market.ltf, market.htf))
    if not 0.1 < top / other < 10.0:
        return None
    level = Decimal(repr(max(top, other))) * 4

    def mirrored(bar: Bar) -> Bar:
        opened, high, low, close = (float(level - Decimal(repr(price))) for price in bar[1:5])
        return Bar(bar.time_ms, opened, low, high, close, bar.volume)

    return changed([market], mirrored)[0], float(level)


OPPOSITE = {"LONG": "SHORT", "SHORT": "LONG", "NONE": "NONE", "": ""}


def mirrored_line(line: TrendLine | None, mirror: TrendLine | None, level: float) -> None:
    assert (line is None) == (mirror is None)
    if line is None or mirror is None:
        return
    assert (line.start_index, line.end_index, line.touches) == (mirror.start_index, mirror.end_index, mirror.touches)
    assert line.slope == pytest.approx(-mirror.slope, abs=1e-9)
    assert line.start_rsi == pytest.approx(100.0 - mirror.start_rsi, abs=1e-7)
    assert line.at_last_bar == pytest.approx(100.0 - mirror.at_last_bar, abs=1e-7)
    if line.reverse_price is not None and mirror.reverse_price is not None:
        assert line.reverse_price == pytest.approx(level - mirror.reverse_price, rel=1e-7)


def test_mirrored_market_has_mirrored_lines_and_triggers() -> None:
    triggers = 0
    for market in MARKETS:
        mirror = upside_down(market)
        if mirror is None:
            continue
        other, level = mirror
        one, two = (market_features(market_bars(each), WINDOW) for each in (market, other))
        mirrored_line(one.resistance, two.support, level)
        mirrored_line(one.support, two.resistance, level)
        assert two.trigger_side == OPPOSITE[one.trigger_side]
        assert two.trend_bias == OPPOSITE[one.trend_bias]
        if one.trigger and two.trigger:
            triggers += 1
            assert (one.trigger.index, one.trigger.touches) == (two.trigger.index, two.trigger.touches)
            assert one.trigger.strength == pytest.approx(two.trigger.strength, abs=1e-7)
            mirrored_verdict(one, two, level)
    assert triggers >= rounds(10, 100)


def has_room(f: Features) -> bool:
    """Return whether stop and target of BreakoutV2 stay above 0 in the mirrored market too."""
    t = f.trigger
    assert t is not None
    assert f.htf_atr is not None
    return min(f.price - 3.0 * f.htf_atr, t.leg_low - (t.leg_high - t.leg_low)) > 0.0


def mirrored_verdict(one: Features, two: Features, level: float) -> None:
    first, second = (judge(BreakoutV2(), each) for each in (one, two))
    parts = [name for name in first.parts if name != "risk_reward" or (has_room(one) and has_room(two))]
    for name in parts:
        assert first.parts[name] == pytest.approx(second.parts[name], abs=1e-6), name
    assert first.filters == second.filters
    if first.setup and second.setup:
        assert (level - first.setup.sl, level - first.setup.tp) == pytest.approx((second.setup.sl, second.setup.tp))


def test_reverse_rsi_price_put_into_rsi_gives_its_target_to_1e_9() -> None:
    lines = 0
    for market in MARKETS:
        bars = market_bars(market)
        found = market_features(bars, WINDOW)
        close = bars.htf.close
        for line in (found.resistance, found.support):
            if line is None or line.reverse_price is None:
                continue
            target = line.slope * len(close) + line.intercept
            rsi = indicators.rsi(np.append(close, line.reverse_price))[-1]
            assert math.isclose(rsi, target, rel_tol=0.0, abs_tol=1e-9), market.symbol
            lines += 1
    assert lines >= len(MARKETS) // 2
