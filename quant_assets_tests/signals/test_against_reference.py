"""The engine agrees with the reference implementation on generated markets and on real candles."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from quant_assets.common.windows import Window, parse_timestamp
from quant_assets.signals import STRATEGY_FAILED, Reason
from quant_assets_tests.faults.seeding import rounds

from .random_markets import Market, inputs, market
from .reference_comparison import differences
from .reference_inputs import Bar
from .tick_markets import tick_market
from .wedge_markets import seesaw_market, wedge_market

pytestmark = pytest.mark.slow

WINDOWS = tuple(
    Window(parse_timestamp(f"2026-01-{moment}")) for moment in ("19T17:00", "19T16:00", "19T19:45", "20T00:15")
)


def seeds(short: int, long: int, *picked: int) -> tuple[int, ...]:
    """Return the first seeds, of which `make chaos` takes more, and the picked ones."""
    return tuple(sorted({*range(rounds(short, long)), *picked}))


RARE_WALKS = (118, 154, 156, 160, 170, 186, 252, 298, 343, 385, 386, 392, 497, 998, 1169, 1278, 1269, 1677, 3747)
KINDS: dict[str, tuple[Callable[[int, int], Market], tuple[int, ...]]] = {
    "walks": (market, seeds(100, 1000, *RARE_WALKS)),
    "ticks": (tick_market, seeds(60, 600, 176, 7795, 55280)),
    "wedges": (wedge_market, seeds(70, 700, 73, 164, 166, 233, 531, 1794, 1863, 3330, 3755)),
    "seesaws": (seesaw_market, seeds(24, 100)),
}
"""Kind of generated market → its factory and seeds; the window follows from the seed.

Picked walks: two that never move, two of Breakout LONG without a valid setup, one that diverges both ways. Picked
ticks: price and RSI that go apart from the wrong half of RSI. Picked wedges: rr and RSI close to the bounds of gates.
Below 1000 and 700: rare reasons, so that each is reached twice or more.
"""

UNUSABLE = {"insufficient_history", "stale_candles"}
REASONS = {
    "Legacy": {"", "no_trend", "score_below_threshold", "no_valid_setup", "stop_too_close"} | UNUSABLE,
    "Breakout": {
        "",
        "no_breakout",
        "price_moved_away",
        "already_hit",
        "no_valid_setup",
        "stop_too_close",
        "poor_risk_reward",
    }
    | UNUSABLE,
    "BreakoutV2": {
        "",
        "no_breakout",
        "price_moved_away",
        "oi_z_score_too_low",
        "obv_against",
        "outside_range",
        "stop_too_close",
        "poor_risk_reward",
    }
    | UNUSABLE,
}
NO_SIDE = {"no_trend", "no_breakout"} | UNUSABLE

CANDLES = Path(__file__).parents[3] / "shared" / "market_data" / "candles"
REAL_WINDOWS = ("2026-01-19T17:00", "2026-01-19T13:15", "2026-01-17T04:00", "2026-01-12T21:45")
REAL_MARKETS = 25


@cache
def compared(kind: str, number: int) -> tuple[list[str], list[dict[str, dict[str, Any]]]]:
    """Compare the generated markets of a kind that belong to a window."""
    make, seeds = KINDS[kind]
    window = WINDOWS[number]
    some = [make(seed, window.end_ms) for seed in seeds if seed % len(WINDOWS) == number]
    return differences(some, window)


def everything_said() -> list[dict[str, dict[str, Any]]]:
    return [said for kind in KINDS for number in range(len(WINDOWS)) for said in compared(kind, number)[1]]


def test_reasons_of_all_strategies_are_members_of_the_enum() -> None:
    assert set[str]().union(*REASONS.values()) == {"", *Reason} - {STRATEGY_FAILED}


@pytest.mark.parametrize("number", range(len(WINDOWS)), ids=[window.key for window in WINDOWS])
@pytest.mark.parametrize("kind", KINDS)
def test_engine_agrees_with_the_reference_on_generated_markets(kind: str, number: int) -> None:
    found, _ = compared(kind, number)
    assert not found, f"{len(found)} differences:\n" + "\n".join(found[:50])


@pytest.mark.parametrize("name", REASONS)
def test_generated_markets_reach_every_reason_on_both_sides(name: str) -> None:
    counts = Counter((said[name]["reason"], said[name]["bias"]) for said in everything_said())
    wanted = {
        (reason, side) for reason in REASONS[name] for side in (("NONE",) if reason in NO_SIDE else ("LONG", "SHORT"))
    }
    shown = "\n".join(f"{name} {reason or 'setup'} {side}: {count}" for (reason, side), count in sorted(counts.items()))
    print(shown)
    assert set(counts) == wanted, shown


def test_generated_markets_reach_every_kind_of_feature_value() -> None:
    counts: Counter[tuple[str, Any]] = Counter()
    for said in everything_said():
        values = said["values"]
        counts["unusable", values["unusable"]] += 1
        if values["unusable"]:
            continue
        for key in ("divergence", "obv_imbalance", "overextended", "volume_quiet", "is_pullback", "legacy_bias"):
            counts[key, values[key]] += 1
        z = values["oi_z"]
        counts["oi_z", "none" if z is None else "high" if values["oi_z_score_valid"] else "low"] += 1
        counts["penalty", said["Legacy"]["parts"]["penalty"]] += 1
        counts["money_flow", said["Legacy"]["parts"]["money_flow"]] += 1
        counts["trend", said["Legacy"]["parts"]["trend"]] += 1
        for key in ("range", "obv", "risk_reward"):
            counts[f"v2 {key}", said["BreakoutV2"]["parts"][key]] += 1
        trigger = values["trigger"]
        counts["bars since the trigger", trigger and values["htf_bars"] - 1 - trigger.s] += 1
        counts["sides broken at once", len(values["broken_at_trigger"])] += 1
        for kind in ("resistance", "support"):
            line = values[kind]
            counts[kind, line and min(line["touches"], 4)] += 1
            if line:
                price = line["price"]
                where = "none" if price is None else "above" if price >= values["htf_close"] else "below"
                counts[f"reverse-RSI price of {kind}", where] += 1
    wanted = {
        *(("unusable", reason) for reason in ("", *UNUSABLE)),
        *(("divergence", found) for found in ("BULLISH", "BEARISH", "NONE")),
        *(("obv_imbalance", found) for found in ("BULLISH", "BEARISH", "NEUTRAL")),
        *((key, found) for key in ("overextended", "volume_quiet", "is_pullback") for found in (True, False)),
        *(("legacy_bias", side) for side in ("LONG", "SHORT", "NONE")),
        *(("oi_z", found) for found in ("none", "low", "high")),
        *(("penalty", points) for points in (0.0, 10.0, 20.0)),
        *(("money_flow", points) for points in (0.0, 10.0, 20.0)),
        *(("trend", points) for points in (0.0, 15.0, 25.0)),
        *(("v2 range", points) for points in (0.0, 10.0, 20.0)),
        *(("v2 obv", points) for points in (0.0, 15.0)),
        *(("v2 risk_reward", points) for points in (0.0, 10.0, 15.0)),
        *(("bars since the trigger", bars) for bars in (None, 0, 1, 2)),
        *(("sides broken at once", sides) for sides in (0, 1, 2)),
        *((kind, touches) for kind in ("resistance", "support") for touches in (None, 2, 3, 4)),
        *(
            (f"reverse-RSI price of {kind}", where)
            for kind in ("resistance", "support")
            for where in ("above", "below")
        ),
        ("reverse-RSI price of support", "none"),
    }
    shown = "\n".join(f"{key} {found}: {counts[key, found]}" for key, found in sorted(counts, key=str))
    print(shown)
    assert wanted <= set(counts), f"never reached: {sorted(wanted - set(counts), key=str)}\n{shown}"


@pytest.mark.parametrize("moment", REAL_WINDOWS)
def test_engine_agrees_with_the_reference_on_real_candles(moment: str) -> None:
    if not CANDLES.is_dir():
        pytest.skip(f"no real candles: {CANDLES} is absent")
    window = Window(parse_timestamp(moment))
    found, said = differences(real_markets(window), window)
    assert not found, f"{len(found)} differences:\n" + "\n".join(found[:50])
    assert any(not some["values"]["unusable"] for some in said)


def real_markets(window: Window) -> list[Market]:
    """Take some markets from the candle files that can be read, with generated derivative inputs."""
    pairs = [path for path in sorted(CANDLES.glob("*_15m.json")) if sibling(path).is_file()]
    chosen: list[Market] = []
    for number, path in enumerate(random.Random("real").sample(pairs, len(pairs))):
        try:
            ltf, htf = real_bars(path), real_bars(sibling(path))
        except json.JSONDecodeError:
            continue
        known = inputs(random.Random(f"{moment_of(window)} {number}"), window.end_ms)
        chosen.append(Market(path.name.removesuffix("_15m.json"), ltf, htf, known))
        if len(chosen) == REAL_MARKETS:
            break
    return chosen


def sibling(path: Path) -> Path:
    return path.with_name(path.name.replace("_15m.json", "_4h.json"))


def moment_of(window: Window) -> str:
    return window.end.isoformat()


def real_bars(path: Path) -> list[Bar]:
    """Read the bars of a candle file, sorted by time without duplicates."""
    rows = {row["time"]: row for row in json.loads(path.read_text("utf-8"))}
    return [
        Bar(time, *(float(rows[time][key]) for key in ("open", "high", "low", "close", "volume")))
        for time in sorted(rows)
    ]
