"""The contract of the feed: its JSON Schema, and validating a feed against it."""

from __future__ import annotations

from functools import cache
from importlib import resources
from itertools import islice
from typing import Any, Final

import jsonschema_rs
import orjson

from quant_assets.common.windows import Window, WindowError

MAX_PROBLEMS: Final = 20
#: Supported versions of the feed, the current one first, with the file of their schema. `make schema` generates that of
#: the current version from the model: generating it takes some 50 ms, reading it 2 ms.
SCHEMA_FILES: Final = {"2.0": "master_feed.schema.json", "1.0": "master_feed.1.0.schema.json"}
SCHEMA_VERSION: Final = next(iter(SCHEMA_FILES))


@cache
def feed_schema(version: str = SCHEMA_VERSION) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the master feed. Raises KeyError for an unknown version."""
    schema: dict[str, Any] = orjson.loads(
        resources.files("quant_assets.feed").joinpath(SCHEMA_FILES[version]).read_bytes()
    )
    return schema


def feed_problems(content: bytes) -> list[str]:
    """Return the violations of a feed's contract, at most 20 lines; empty if it is valid.

    Checks the schema of the feed's version, that there is no NaN or Infinity, that `as_of` is the end of the window,
    the counts, that there is exactly one signal per market and strategy, and the order of the signals.
    """
    try:
        feed = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        return [f"not JSON: {error}"]
    problems = [
        f"{'/'.join(str(step) for step in violation.instance_path)}: {violation.message[:200]}"
        for violation in islice(_validator(_version_of(feed)).iter_errors(feed), MAX_PROBLEMS)
    ]
    return problems or _consistency_problems(feed)


@cache
def _validator(version: str) -> Any:
    return jsonschema_rs.Draft202012Validator(feed_schema(version))


def _version_of(feed: Any) -> str:
    """Return the version of a feed, or the current one if its version is missing or unknown."""
    version = feed.get("schema_version") if isinstance(feed, dict) else None
    return version if isinstance(version, str) and version in SCHEMA_FILES else SCHEMA_VERSION


def _window_end(window: str) -> str:
    """Return the end of a window as a feed's `as_of` writes it; "" if the key is invalid."""
    try:
        return Window.of_key(window).end.strftime("%Y-%m-%dT%H:%M:%SZ")
    except WindowError:
        return ""


def _consistency_problems(feed: dict[str, Any]) -> list[str]:
    stats, signals = feed["stats"], feed["signals"]
    problems = [] if feed["as_of"] == _window_end(feed["window"]) else ["as_of: not the end of the window"]
    markets = {(signal["exchange"], signal["symbol"]) for signal in signals}
    pairs = {(signal["exchange"], signal["symbol"], signal["strategy_name"]) for signal in signals}
    expected = stats["markets"] * len(stats["strategies"])
    if len(signals) != expected or len(pairs) != expected:
        problems.append(f"signals: {len(signals)}, expected {expected}: one per market and strategy")
    if len(markets) != stats["markets"] and stats["strategies"]:
        problems.append(f"stats/markets: {stats['markets']}, but the signals are of {len(markets)} markets")
    if stats["signals"] != len(signals) or sum(stats["actions"].values()) != len(signals):
        problems.append("stats: the counts do not add up to the number of signals")
    if sum(stats["resolution"].values()) != stats["markets"]:
        problems.append("stats/resolution: the counts do not add up to the number of markets")
    keys = [(s["action"] == "WAIT", -s["score"], s["exchange"], s["symbol"], s["strategy_name"]) for s in signals]
    if keys != sorted(keys):
        problems.append("signals: not in order (setups first, then by score, exchange, symbol, strategy)")
    return problems
