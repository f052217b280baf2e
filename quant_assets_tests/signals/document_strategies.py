"""Write the words of the strategies into docs/built_in_strategies.md: `make docs`.

They go between the lines `<!-- words of KEY -->` and `<!-- end -->`. The gates and parameters that every strategy has
are at `<!-- words of every strategy -->`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from quant_assets.signals import COMMON_GATES, Strategy, discover_strategies, gates_of, parameters_of
from quant_assets.signals.description import gates_table, parameters_table, score_table, setup_paragraphs
from quant_assets.signals.parameters import COMMON_LIMITS

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "built_in_strategies.md"
WORDS: Final = re.compile(r"(<!-- words of ([\w ]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def with_words(text: str) -> str:
    """Return the document with the words of today's strategies."""
    strategies = {strategy.key: strategy for strategy in discover_strategies().strategies}
    return WORDS.sub(lambda place: f"{place[1]}\n{_words(place[2], strategies)}\n\n{place[3]}", text)


def _words(name: str, strategies: Mapping[str, Strategy]) -> str:
    if name == "every strategy":
        strategy = strategies["legacy"]
        gates = {reason: gate for reason, gate in gates_of(strategy).items() if reason in COMMON_GATES}
        return f"{gates_table(gates)}\n\n{parameters_table(strategy, COMMON_LIMITS)}"
    strategy = strategies[name]
    own = [parameter for parameter in parameters_of(strategy) if parameter not in COMMON_LIMITS]
    sections = [strategy.description, score_table(strategy), *setup_paragraphs(strategy)]
    return "\n\n".join([*sections, gates_table(strategy.gates()), parameters_table(strategy, own)])


if __name__ == "__main__":
    DOCUMENT.write_text(with_words(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
