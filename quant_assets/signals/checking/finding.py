"""What a check found: the kind of fault, the indicator, where it showed, and its size."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The kinds of findings."""

    LOOK_AHEAD = "look-ahead"
    RECURSION = "recursion"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault of an indicator, or of the whole strategy (`indicator` is empty).

    `size` is how far the value moved, None where it became known or unknown, or is no number. `window` is the key of
    the window whose end was the cut, empty for short histories.
    """

    kind: Kind
    indicator: str
    market: str
    window: str
    size: float | None
    what: str

    @property
    def text(self) -> str:
        """Return the finding as one line."""
        place = f"{self.market}{f', window {self.window}' if self.window else ''}"
        size = "" if self.size is None else f" by {self.size:.3g}"
        return f"{self.kind}: {self.indicator or 'the strategy'} {self.what}{size}: {place}"


def worst_of_each(findings: Iterable[Finding]) -> list[Finding]:
    """Return the largest finding of each kind and indicator, in the order in which they were found first."""
    worst: dict[tuple[Kind, str], Finding] = {}
    for found in findings:
        key = (found.kind, found.indicator)
        if key not in worst or (found.size or 0.0) > (worst[key].size or 0.0):
            worst[key] = found
    return list(worst.values())
