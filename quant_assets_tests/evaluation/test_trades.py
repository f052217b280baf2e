"""Which setups are traded, and how each trade ends."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quant_assets.evaluation import Costs, FundingRates, PriceBars, Prices, TradeRules, follow_setups, price_bars
from quant_assets_tests.evaluation.markets import MARKET, START, STEP, Bar, bars_of, candles, flat, random_bars, setup
from quant_assets_tests.evaluation.one_trade import BAR, follow_one

LIMIT = 8 * STEP
RULES = {"Legacy": TradeRules(LIMIT, 0.5)}
FREE = Costs(fee_pct=0.0, slippage_pct=0.0)
T = START + 2 * STEP


def trades(bars: list[Bar], *setups: dict[str, object], costs: Costs = FREE) -> pd.DataFrame:
    return follow_setups(pd.DataFrame(setups), Prices({MARKET: bars_of(bars)}, costs=costs), RULES)


def one(bars: list[Bar]) -> pd.Series[Any]:
    return trades(bars, setup(T, "LONG", 99.0, 102.0)).iloc[0]


def then(*bars: tuple[float, float, float, float]) -> list[Bar]:
    """Two flat bars, then these from the window's end on: open, high, low, close."""
    return flat(2) + [Bar(T + number * STEP, *bar) for number, bar in enumerate(bars)]


CASES = {
    "target": (then((100, 102, 100, 101)), "target", 102.0, T + STEP, 1),
    "stop": (then((100, 100, 99, 100)), "stop", 99.0, T + STEP, 1),
    "stop before target": (then((100, 102, 99, 100)), "stop", 99.0, T + STEP, 1),
    "opens below the stop": (then((100, 100, 100, 100), (98, 103, 97, 98)), "stop", 98.0, T + STEP, 1),
    "opens above the target": (then((100, 100, 100, 100), (103, 104, 98, 98)), "target", 103.0, T + STEP, 1),
    "time limit": (then(*[(100, 101, 99.5, 100)] * 8, (100.5, 105, 90, 100)), "expired", 100.5, T + LIMIT, 8),
    "time limit at the last close": (then(*[(100, 101, 99.5, 100.2)] * 8), "expired", 100.2, T + LIMIT, 8),
    "still open": (then((100, 101, 99.5, 100.3)), "open", 100.3, T + STEP, 1),
}


@pytest.mark.parametrize(("bars", "outcome", "price", "exit_ms", "held"), CASES.values(), ids=CASES.keys())
def test_long_trade_ends_at_the_first_that_applies(
    bars: list[Bar], outcome: str, price: float, exit_ms: int, held: int
) -> None:
    trade = one(bars)
    assert (trade["outcome"], trade["exit"], trade["exit_ms"], trade["bars_held"]) == (outcome, price, exit_ms, held)


def test_stop_and_target_in_one_bar_are_a_stop_and_ambiguous() -> None:
    trade = one(then((100, 102, 99, 100)))
    assert (trade["outcome"], trade["ambiguous"], trade["gross_r"]) == ("stop", True, -1.0)


@pytest.mark.parametrize(
    ("bars", "outcome", "reason"),
    [
        (flat(2), "pending", ""),
        ([*flat(2), Bar(T + STEP, 100, 100, 100, 100)], "no_entry", "no_bar"),
        (then((99, 100, 99, 100)), "no_entry", "gapped"),
        (then((102, 103, 99, 100)), "no_entry", "gapped"),
        (then((99.2, 100, 99.1, 100)), "no_entry", "stop_too_close"),
    ],
    ids=["no later bar", "bar missing", "opens at the stop", "opens at the target", "opens near the stop"],
)
def test_setup_without_an_entry_says_why(bars: list[Bar], outcome: str, reason: str) -> None:
    trade = one(bars)
    assert (trade["outcome"], trade["reason"], math.isnan(trade["entry"])) == (outcome, reason, True)


def test_gap_of_more_than_eight_hours_loses_the_trade() -> None:
    bars = then((100, 101, 99.5, 100))
    lost = one([*bars, Bar(T + 33 * STEP, 100, 100, 100, 100)])
    assert (lost["outcome"], lost["exit_ms"], math.isnan(lost["net_r"])) == ("lost", T + 33 * STEP, True)
    assert one([*bars, Bar(T + 32 * STEP, 100, 100, 100, 100)])["outcome"] == "expired"


def test_market_whose_bars_stop_is_lost_when_its_exchange_goes_on() -> None:
    def outcome(other: int) -> str:
        tables = [candles(then((100, 101, 99.5, 100))), candles(flat(other), symbol="ETH")]
        prices = Prices(price_bars(pd.concat(tables, ignore_index=True)))
        return str(follow_setups(pd.DataFrame([setup(T, "LONG", 99, 102)]), prices, RULES).loc[0, "outcome"])

    assert (outcome(3 + 32), outcome(3 + 33)) == ("open", "lost")


def test_only_the_first_window_of_an_episode_is_traded() -> None:
    setups = [setup(T + number * STEP, "LONG", 99, 102) for number in range(3)]
    found = trades(then((100, 102, 100, 101), *[(100, 101, 99.5, 100)] * 6), *setups)
    assert found["entry_ms"].tolist() == [T]


@pytest.mark.parametrize("second", [T + 2 * STEP, T + STEP], ids=["a window without a setup", "the other side"])
def test_episode_ends_with(second: int) -> None:
    side, stop, target = ("LONG", 99, 102) if second == T + 2 * STEP else ("SHORT", 103, 98)
    bars = then((100, 102, 100, 101), *[(100, 101, 99.5, 100)] * 6)
    found = trades(bars, setup(T, "LONG", 99, 102), setup(second, side, stop, target))
    assert found["entry_ms"].tolist() == [T, second]


def test_episode_that_begins_during_a_trade_is_passed_over_as_a_whole() -> None:
    bars = then(*[(100, 101, 99.5, 100)] * 3, (100, 102, 100, 101), *[(100, 101, 99.5, 100)] * 6)
    during = [setup(T + number * STEP, "LONG", 99, 102) for number in (2, 3, 4, 5)]
    found = trades(bars, setup(T, "LONG", 99, 102), *during, setup(T + 7 * STEP, "LONG", 99, 102))
    assert found["entry_ms"].tolist() == [T, T + 7 * STEP]


def test_trade_may_begin_at_the_moment_the_last_one_ends() -> None:
    bars = then((100, 101, 99.5, 100), (100, 102, 100, 101), *[(100, 101, 99.5, 100)] * 6)
    found = trades(bars, setup(T, "LONG", 99, 102), setup(T + 2 * STEP, "LONG", 99, 102))
    assert found["entry_ms"].tolist() == [T, T + 2 * STEP]


def test_setup_without_an_entry_blocks_no_later_one() -> None:
    bars = then((99, 100, 99, 100), *[(100, 101, 99.5, 100)] * 6)
    found = trades(bars, setup(T, "LONG", 99, 102), setup(T + 2 * STEP, "LONG", 99, 102))
    assert found["outcome"].tolist() == ["no_entry", "open"]


def test_costs_are_paid_on_both_sides_in_multiples_of_the_risk() -> None:
    (trade,) = trades(then((100, 102, 100, 101)), setup(T, "LONG", 99, 102), costs=Costs()).itertuples()
    assert trade.gross_r == 2.0
    assert trade.net_r == pytest.approx(2.0 - 0.0007 * 202)


def test_funding_is_paid_at_settlements_between_entry_and_exit() -> None:
    bars = [bar._replace(low=99.5) for bar in flat(40)]
    entry = START + 30 * STEP  # 07:30; Hyperliquid settles hourly, others at 08:00
    limit = 6 * STEP  # to 09:00, at which nothing is paid

    def net(exchange: str, side: str, known_ms: int, entry: int = entry) -> tuple[float, float]:
        stop, target = (99.0, 102.0) if side == "LONG" else (101.0, 98.0)
        market = (exchange, "BTC")
        rates = {market: FundingRates(np.array([known_ms]), np.array([0.1]))}
        prices = Prices(price_bars(candles(bars, exchange)), rates, FREE)
        table = pd.DataFrame([setup(entry, side, stop, target, exchange=exchange)])
        trade = follow_setups(table, prices, {"Legacy": TradeRules(limit, 0.5)}).iloc[0]
        return float(trade["net_r"]), float(trade["funding_known"])

    assert net("BYBIT", "LONG", START) == pytest.approx((-0.1, 1.0))
    assert net("BYBIT", "SHORT", START) == pytest.approx((0.1, 1.0))
    assert net("HYPERLIQUID", "LONG", START) == pytest.approx((-0.1, 1.0))
    assert net("BYBIT", "LONG", entry + 2 * STEP) == pytest.approx((-0.1, 1.0))  # known at the settlement
    assert net("BYBIT", "LONG", entry + 2 * STEP + 1) == (0.0, 0.0)
    assert net("BYBIT", "LONG", START, entry + 2 * STEP) == (0.0, 1.0)  # entered at the settlement


def test_mature_is_a_trade_whose_time_limit_has_passed() -> None:
    bars = then((100, 102, 100, 101), *[(100, 101, 99.5, 100)] * 7)
    assert trades(bars, setup(T, "LONG", 99, 102))["mature"].tolist() == [True]
    assert trades(bars[:-1], setup(T, "LONG", 99, 102))["mature"].tolist() == [False]


@pytest.mark.parametrize("seed", range(6))
def test_random_trades_equal_those_followed_bar_by_bar(seed: int) -> None:
    bars = random_bars(400, seed)
    chance = random.Random(seed)
    compared: set[str] = set()
    for _ in range(60):
        end_ms = chance.choice(bars).time + chance.choice([0, 0, 0, STEP])
        side = chance.choice(["LONG", "SHORT"])
        d = 1 if side == "LONG" else -1
        price = chance.choice([bar.open for bar in bars if bar.time <= end_ms][-1:] or [100.0])
        stop, target = price - d * chance.uniform(0.1, 6), price + d * chance.uniform(0.1, 9)
        limit = chance.choice([1, 7, 40, 200]) * STEP
        newest = bars[-1].time + BAR + chance.choice([0, 8 * 3_600_000 + 1])
        prices = Prices({MARKET: bars_of(bars), (MARKET[0], "ETH"): ending_at(newest)}, costs=FREE)
        table = pd.DataFrame([setup(end_ms, side, stop, target)])
        (found,) = follow_setups(table, prices, {"Legacy": TradeRules(limit, 0.5)}).to_dict("records")
        expected = follow_one(bars, end_ms, d, stop, target, limit, 0.5, newest)
        compared.add(expected.outcome)
        for name in ("outcome", "reason", "entry", "exit", "exit_ms", "ambiguous", "bars_held"):
            assert found[name] == pytest.approx(getattr(expected, name), abs=0, nan_ok=True), name
        if expected.outcome not in {"no_entry", "pending"}:
            risk = abs(expected.entry - stop)
            assert found["mfe_r"] == pytest.approx(d * (expected.best - expected.entry) / risk, abs=1e-9)
            assert found["mae_r"] == pytest.approx(d * (expected.worst - expected.entry) / risk, abs=1e-9)
    assert {"target", "stop", "expired", "lost", "no_entry"} <= compared


def ending_at(end_ms: int) -> PriceBars:
    return bars_of([Bar(end_ms - BAR, 1, 1, 1, 1)])
