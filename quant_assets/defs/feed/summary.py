"""Summarize a feed as Markdown, for Dagster's UI."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

MAX_SHOWN: Final = 10


def summary(feed: Mapping[str, Any], not_loaded: Sequence[str] = ()) -> str:
    """Return the counts, degraded data and best signals of a feed; `not_loaded` names the strategies that it lacks."""
    return "\n".join(_lines(feed, not_loaded))


def _lines(feed: Mapping[str, Any], not_loaded: Sequence[str]) -> Iterator[str]:
    stats = feed["stats"]
    actions, resolution = stats["actions"], stats["resolution"]
    if feed["simulated"]:
        yield "**Simulated data.**\n"
    yield f"{stats['markets']} markets × {len(stats['strategies'])} strategies as of {feed['as_of']}: "
    yield f"**{actions['LONG']} LONG**, **{actions['SHORT']} SHORT**, {actions['WAIT']} WAIT.\n"
    yield "Open interest of " + ", ".join(f"{resolution[tier]} {tier}" for tier in resolution) + ".\n"
    if not_loaded:
        names = ", ".join(map(_escape, not_loaded))
        yield f"**Without {names}**, installed since the code location was loaded: reload it under *Deployment*.\n"
    yield from _degraded(stats)
    setups = [entry for entry in feed["signals"] if entry["action"] != "WAIT"][:MAX_SHOWN]
    if not setups:
        yield "No setup."
        return
    yield "| action | market | exchange | strategy | score | rr | entry | stop | target |"
    yield "|---|---|---|---|--:|--:|--:|--:|--:|"
    for entry in setups:
        cells = (
            entry["action"],
            _escape(entry["display_symbol"]),
            _escape(entry["exchange"]),
            _escape(entry["strategy_name"]),
            f"{entry['score']:.1f}",
            f"{entry['rr']:.2f}",
            *(f"{entry[price]:.6g}" for price in ("entry", "stop_loss", "take_profit")),
        )
        yield f"| {' | '.join(cells)} |"


def _degraded(stats: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each dataset with stale or missing values, and one for skipped files."""
    for dataset, freshness in stats["freshness"].items():
        if freshness["stale"] or freshness["missing"]:
            yield f"* {dataset.replace('_', ' ')}: {freshness['missing']} unknown, {freshness['stale']} older than 2 h"
    if stats["skipped"]:
        yield f"* candle files skipped: {len(stats['skipped'])}"
    yield ""


def _escape(text: str) -> str:
    """Escape a name for Markdown."""
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]<>()#+-!|~" else letter for letter in text)
