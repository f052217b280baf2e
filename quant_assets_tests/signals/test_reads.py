"""The fields that strategies declare in `reads`, which Dagster shows as lineage, are the fields that they read."""

from __future__ import annotations

import random
from typing import Any

import pytest

from quant_assets.signals import COLUMNS, Strategy, discover_strategies
from quant_assets.signals.features.model import Features
from quant_assets.signals.sides import LONG, SHORT

STRATEGIES = {strategy.key: strategy for strategy in discover_strategies().strategies}


class Watched:
    """Wrap the features of a market, and record which fields are read."""

    def __init__(self, features: Features, read: set[str]) -> None:
        self._features, self._read = features, read

    def __getattr__(self, name: str) -> Any:
        if name in COLUMNS:
            self._read.add(name)
            return getattr(self._features, name)
        if name == "trigger":
            self._read.add("trigger_side")
            trigger = self._features.trigger
            return None if trigger is None else WatchedTrigger(trigger, self._read)
        view = type(self._features).__dict__[name]  # a property: what it reads counts
        return view.fget(self)


class WatchedTrigger:
    """Wrap the trigger of the features, and record which fields are read."""

    def __init__(self, trigger: Any, read: set[str]) -> None:
        self._trigger, self._read = trigger, read

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._trigger, name)
        if f"trigger_{name}" in COLUMNS:
            self._read.add(f"trigger_{name}")
        return value


def markets(seed: int, count: int) -> list[Features]:
    """Return markets with random values for every field that a strategy may read."""
    rng = random.Random(seed)

    def one() -> Features:
        price = rng.uniform(50.0, 150.0)
        near = {
            name: price * rng.uniform(0.93, 1.07) for name in COLUMNS if name.startswith(("trigger_", "ltf_", "htf_"))
        }
        near |= {f"trigger_{end}_index": start + rng.randint(0, 9) for end, start in (("start", 5), ("end", 20))}
        texts = {
            "trigger_side": rng.choice(("", LONG, SHORT)),
            "htf_bias": LONG,
            "ltf_bias": LONG,
            "htf_trend": "UP",
            "trend_bias": rng.choice((LONG, SHORT, "NONE")),
            "obv_imbalance": rng.choice(("BULLISH", "BEARISH", "NEUTRAL")),
            "divergence": rng.choice(("BULLISH", "BEARISH", "NONE")),
        }
        numbers = {
            "trigger_strength": rng.uniform(0.0, 12.0),
            "trigger_close": price * rng.uniform(0.98, 1.02),
            "trigger_atr": price * 0.01,
            "htf_atr": price * 0.01,
            "ltf_atr": price * 0.01,
            "htf_rsi": rng.uniform(10.0, 90.0),
            "htf_adx": rng.uniform(10.0, 40.0),
            "obv_slope": rng.uniform(-1.0, 1.0),
            "oi_z": rng.choice((None, rng.uniform(-3.0, 4.0))),
            "funding_rate_pct": rng.choice((None, 0.01)),
            "long_short_ratio": rng.choice((None, 1.5)),
            "is_pullback": rng.random() < 0.5,
            "is_volume_quiet": rng.random() < 0.5,
            "is_overextended": rng.random() < 0.5,
        }
        identity = dict.fromkeys(("exchange", "symbol", "canonical_symbol", "display_symbol"), "X")
        return Features(**{**near, **texts, **numbers, **identity, "window_end_ms": 0, "price": price})

    return [one() for _ in range(count)]


@pytest.mark.parametrize("key", sorted(STRATEGIES))
def test_strategy_reads_exactly_the_fields_it_declares(key: str) -> None:
    strategy: Strategy = STRATEGIES[key]
    read: set[str] = set()
    for market in markets(seed=7, count=400):
        strategy.judge(Watched(market, read))  # type: ignore[arg-type]
    declared = {name for names in strategy.reads.values() for name in names}
    assert declared == read - {"exchange", "symbol"}


@pytest.mark.parametrize("key", sorted(STRATEGIES))
def test_every_part_and_gate_declares_its_fields(key: str) -> None:
    strategy = STRATEGIES[key]
    known = {*strategy.parts, *strategy.filters, "bias", "setup", "reason"}
    assert set(strategy.parts) | set(strategy.filters) | {"bias", "setup"} <= set(strategy.reads) <= known
    assert all(name in COLUMNS for names in strategy.reads.values() for name in names)


@pytest.mark.parametrize("key", sorted(STRATEGIES))
def test_part_depends_only_on_the_fields_it_declares(key: str) -> None:
    """Taking all other fields from another market leaves a part unchanged."""
    strategy = STRATEGIES[key]
    one, other = markets(seed=8, count=200), markets(seed=9, count=200)
    for part in strategy.parts:
        kept = set(strategy.reads[part])
        for market, stranger in zip(one, other, strict=True):
            mixed = Features(**{name: getattr(market if name in kept else stranger, name) for name in COLUMNS})
            assert strategy.judge(mixed).parts[part] == strategy.judge(market).parts[part], part
