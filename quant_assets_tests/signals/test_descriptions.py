"""What strategies say of themselves is true: maxima, gates, and the values of parameters in the words."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from quant_assets.signals import (
    COMMON_GATES,
    Gate,
    GateIndex,
    ParametersError,
    Strategy,
    describe,
    describe_part,
    discover_strategies,
    gates_of,
    judge,
    parameters_of,
    title_of,
    with_parameters,
)
from quant_assets.signals.description import gates_table, score_table, setup_paragraphs
from quant_assets.signals.parameters import parameter_descriptions
from quant_assets_tests.signals.test_reads import markets
from quant_assets_tests.signals.test_strategy_registry import install  # noqa: F401 - a fixture

STRATEGIES = {strategy.key: strategy for strategy in discover_strategies().strategies}
#: Strategies whose maxima and gates the markets of these tests reach.
REACHED = ("breakout", "breakout_v2", "legacy")
PARAMETERS = [
    (key, name)
    for key, strategy in STRATEGIES.items()
    for name, value in parameters_of(strategy).items()
    if isinstance(value, float)
]


def odd_value(key: str, name: str) -> float:
    """Return a value of a parameter that no other number of the words has."""
    return float(parameters_of(STRATEGIES[key])[name]) * 0.5625


def sentences(strategy: Strategy) -> str:
    """Return all words about a strategy but the table of its parameters."""
    return "\n".join([score_table(strategy), *setup_paragraphs(strategy), gates_table(gates_of(strategy))])


@pytest.mark.parametrize("key", STRATEGIES)
def test_every_part_filter_and_parameter_of_a_strategy_is_explained(key: str) -> None:
    strategy = STRATEGIES[key]
    assert set(strategy.explanations()) == {*strategy.parts, *strategy.filters, "bias", "setup"}
    assert set(strategy.max_points) == set(strategy.parts)
    assert set(parameter_descriptions(strategy)) == set(parameters_of(strategy))
    assert all(text.endswith(".") for text in strategy.explanations().values())


@pytest.mark.parametrize(("key", "name"), PARAMETERS)
def test_changed_parameter_changes_the_sentences(key: str, name: str) -> None:
    value = odd_value(key, name)
    before, after = STRATEGIES[key], dataclasses.replace(STRATEGIES[key], **{name: value})
    texts = (f"{value:g}", f"{value * 100:g} %")
    assert not any(text in sentences(before) for text in texts)
    assert any(text in sentences(after) for text in texts)
    assert f"| `{name}` | {value:g} |" in describe(after)


@pytest.mark.parametrize("key", STRATEGIES)
def test_points_reach_the_declared_maximum_and_never_exceed_it(key: str) -> None:
    strategy = STRATEGIES[key]
    crowd: list[dict[str, Any]] = [
        {"funding_rate_pct": sign * 0.2, "long_short_ratio": 4.0**sign, "divergence": found, "is_overextended": True}
        for sign, found in ((1, "BULLISH"), (-1, "BEARISH"))
    ]
    seen = [
        market._replace(trigger_end_index=500, oi_z=4.0, **changes)
        for market in markets(seed=11, count=1500)
        for changes in ({}, *crowd)
    ]
    verdicts = [strategy.judge(market) for market in seen]
    found = {part: max(verdict.parts[part] for verdict in verdicts) for part in strategy.parts}
    assert all(points <= strategy.max_points[part] for part, points in found.items())
    assert key not in REACHED or found == strategy.max_points


@pytest.mark.parametrize("key", STRATEGIES)
def test_every_reason_to_wait_is_a_gate_with_the_limit_that_was_missed(key: str) -> None:
    names = {name: odd_value(key, name) for of, name in PARAMETERS if of == key}
    found: set[str] = set()
    for strategy in (STRATEGIES[key], dataclasses.replace(STRATEGIES[key], **names)):
        gates = gates_of(strategy)
        for verdict in (judge(strategy, market) for market in markets(seed=12, count=1500)):
            if verdict.reason:
                found.add(verdict.reason)
                limit = gates[verdict.reason].limit
                assert limit is None or verdict.reason_bound == limit
    assert key not in REACHED or found >= set(strategy.gates()) - {"no_valid_setup"}


@pytest.mark.parametrize(
    ("explanations", "gates", "told"),
    [
        ({"one": 1}, {}, "invalid explanations"),
        (["one"], {}, "invalid explanations"),
        ({"won": "A part."}, {}, "explains won"),
        ({}, {"too_low": "RSI is too low."}, "invalid gates"),
        ({}, None, "invalid gates"),
    ],
)
def test_strategy_with_invalid_words_is_refused(install: Any, explanations: Any, gates: Any, told: str) -> None:  # noqa: F811
    code = f"""
from dataclasses import dataclass
from quant_assets.signals import Strategy, Verdict

@dataclass(frozen=True)
class Mine(Strategy):
    name, key, description, strategy_type, parts = "Mine", "mine", "for tests", "test", ("one",)

    def judge(self, features):
        return Verdict.of("NONE", {{"one": 1.0}}, "never", None)

    def explanations(self):
        return {explanations!r}

    def gates(self):
        return {gates!r}

mine = Mine()
"""
    install("strange_words", code)
    (problem,) = discover_strategies().problems
    assert told in problem


@dataclasses.dataclass(frozen=True)
class Divides(Strategy):
    """A strategy that cannot say what it does with some values of its parameter."""

    name = "Divides"
    key = "divides"
    description = "for tests"
    strategy_type = "test"
    parts = ("one",)
    parts_of_a_day: int = 4

    def judge(self, features: Any) -> Any:
        raise NotImplementedError

    def explanations(self) -> dict[str, str]:
        return {"one": f"Every {24 / self.parts_of_a_day:g} hours."}


def test_parameter_that_cannot_be_explained_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "strategies.toml"
    path.write_text("[divides]\nparts_of_a_day = 0\n")
    with pytest.raises(ParametersError, match="divides: these values cannot be explained: ZeroDivisionError"):
        with_parameters([Divides()], path)
    path.write_text("[divides]\nparts_of_a_day = 8\n")
    (changed,) = with_parameters([Divides()], path)
    assert describe_part(changed, "one") == "Points of the score from One. Every 3 hours."


def test_sentence_of_a_gate_has_the_limit_that_a_signal_was_judged_by() -> None:
    gate = Gate("The price must be within {limit}.", 3.0, " %")
    assert gate.sentence() == "The price must be within 3 %."
    assert gate.sentence(0.123456789) == "The price must be within 0.123457 %."
    assert Gate("RSI must be at least {limit}.").sentence() == "RSI must be at least a limit."


def test_gates_of_every_strategy_are_found_for_an_unknown_strategy() -> None:
    gates = GateIndex(STRATEGIES.values())
    assert gates.find("Legacy", "score_below_threshold") == Gate("The score must be at least {limit}.", 70.0)
    assert gates.find("Legacy", "new_moon") is None
    assert gates.find("Gone", "stop_too_close") == COMMON_GATES["stop_too_close"]


def test_titles_are_words_with_abbreviations_in_capitals() -> None:
    assert [title_of(name) for name in ("money_flow", "oi_flow", "obv", "htf_rsi")] == [
        "Money flow",
        "OI flow",
        "OBV",
        "Htf RSI",
    ]
