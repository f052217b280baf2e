"""Describe a strategy with its parameters in force, as Markdown: for Dagster, and for docs/built_in_strategies.md."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from quant_assets.signals.gates import Gate, gates_of
from quant_assets.signals.parameters import COMMON_LIMITS, parameter_descriptions, parameters_of
from quant_assets.signals.strategy import Strategy

_ABBREVIATIONS: Final = {
    name.lower(): name for name in ("ADX", "ATR", "EMA", "MACD", "OBV", "OI", "RSI", "SMA", "VWAP")
}


def describe(strategy: Strategy) -> str:
    """Return what a strategy looks for, how it scores, what it waits for, and its parameters, as Markdown."""
    sections = [strategy.description, score_table(strategy), *setup_paragraphs(strategy)]
    sections += [gates_table(gates_of(strategy)), parameters_table(strategy, parameters_of(strategy))]
    return "\n\n".join(section for section in sections if section)


def title_of(name: str) -> str:
    """Return the title of a part or gate: Money flow for money_flow, OI flow for oi_flow."""
    words = [_ABBREVIATIONS.get(word, word) for word in name.split("_")]
    return " ".join([words[0][:1].upper() + words[0][1:], *words[1:]])


def describe_part(strategy: Strategy, part: str) -> str:
    """Return the maximum of a part of the score and how it is computed, as sentences."""
    maximum, text = strategy.max_points.get(part), strategy.explanations().get(part, "")
    limit = "" if maximum is None else f", at most {maximum:g}"
    return f"Points of the score from {title_of(part)}{limit}. {text}".rstrip()


def score_table(strategy: Strategy) -> str:
    """Return a table of the parts of the score: maximum, and how the points are computed."""
    texts = strategy.explanations()
    rows = [(title_of(part), _number(strategy.max_points.get(part)), texts.get(part, "")) for part in strategy.parts]
    return _table(("part of the score", "max", "points"), rows)


def setup_paragraphs(strategy: Strategy) -> Iterator[str]:
    """Yield how the side is chosen, and where stop and target are, if the strategy says so."""
    texts = strategy.explanations()
    for name, title in (("bias", "Side"), ("setup", "Setup")):
        if name in texts:
            yield f"*{title}*: {texts[name]}"


def gates_table(gates: Mapping[str, Gate]) -> str:
    """Return a table of reasons to wait and the conditions of a setup."""
    return _table(
        ("waits with", "if this does not hold"), [(f"`{reason}`", gate.sentence()) for reason, gate in gates.items()]
    )


def parameters_table(strategy: Strategy, names: Iterable[str]) -> str:
    """Return a table of these parameters: value, range and meaning."""
    values, texts = parameters_of(strategy), parameter_descriptions(strategy)
    limits = {**COMMON_LIMITS, **strategy.limits}
    rows = [
        (
            f"`{name}`",
            _number(values[name]),
            " to ".join(map(_number, limits[name])) if name in limits else "",
            texts.get(name, ""),
        )
        for name in names
    ]
    return _table(("parameter", "value", "range", "meaning"), rows)


def _number(value: object) -> str:
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table, "" without rows."""
    if not rows:
        return ""
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
