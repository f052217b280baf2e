"""Stretches of time between bars, and the arithmetic of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple


class Span(NamedTuple):
    """The bars that open in `[start_ms, end_ms)`, epoch ms."""

    start_ms: int
    end_ms: int


def inside(spans: Iterable[Span], limits: Span) -> list[Span]:
    """Return the parts of spans that are inside the limits."""
    parts = (Span(max(span.start_ms, limits.start_ms), min(span.end_ms, limits.end_ms)) for span in spans)
    return [part for part in parts if part.start_ms < part.end_ms]


def subtract(span: Span, others: Iterable[Span]) -> list[Span]:
    """Return the parts of a span that are in none of the others, which are sorted."""
    left, start_ms = [], span.start_ms
    for other in others:
        left.append(Span(start_ms, min(other.start_ms, span.end_ms)))
        start_ms = max(start_ms, other.end_ms)
    return [part for part in [*left, Span(start_ms, span.end_ms)] if part.start_ms < part.end_ms]


def join_spans(spans: Mapping[str, Sequence[Span]]) -> dict[str, list[Span]]:
    """Return the spans of each symbol sorted, those that touch as one, and no symbol without any."""
    found: dict[str, list[Span]] = {}
    for symbol in sorted(spans):
        for span in sorted(spans[symbol]):
            last = found.setdefault(symbol, [])
            if last and span.start_ms <= last[-1].end_ms:
                last[-1] = Span(last[-1].start_ms, max(last[-1].end_ms, span.end_ms))
            else:
                last.append(span)
    return found
