"""The contract of the master feed, on the feed of a real scan."""

from __future__ import annotations

import copy
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from quant_assets.feed import feed_problems, feed_schema, select_signals
from quant_assets.feed.model import generate_schema
from quant_assets_tests.world import World

Feed = dict[str, Any]


@pytest.fixture(scope="module")
def content(world: World) -> bytes:
    return world.scanned("feed").read_bytes()


@pytest.fixture
def feed(content: bytes) -> Feed:
    return orjson.loads(content)  # type: ignore[no-any-return]


def test_feed_of_a_scan_is_valid(content: bytes) -> None:
    assert feed_problems(content) == []


def _set(path: str, value: object) -> Callable[[Feed], None]:
    def change(feed: Feed) -> None:
        *steps, last = path.split(".")
        place: Any = feed
        for step in steps:
            place = place[int(step) if step.isdigit() else step]
        place[last] = value

    return change


def _without(path: str) -> Callable[[Feed], None]:
    def change(feed: Feed) -> None:
        *steps, last = path.split(".")
        place: Any = feed
        for step in steps:
            place = place[int(step) if step.isdigit() else step]
        del place[last]

    return change


def _doubled(feed: Feed) -> None:
    feed["signals"][-1] = feed["signals"][-2]


def _reversed(feed: Feed) -> None:
    feed["signals"].reverse()


def _lost(feed: Feed) -> None:
    feed["signals"].pop()


VIOLATIONS: dict[str, Callable[[Feed], None]] = {
    "a required number is null": _set("signals.0.price", None),
    "a required number is text": _set("signals.0.score", "85"),
    "a score above 100": _set("signals.0.score", 101),
    "a negative price": _set("signals.0.price", -1.0),
    "an unknown status": _set("signals.0.oi_metadata.status", "guessed"),
    "an unknown action": _set("signals.0.action", "BUY"),
    "details without a total": _without("signals.0.details.total"),
    "no timestamp": _without("signals.0.timestamp"),
    "no simulated": _without("simulated"),
    "another schema version": _set("schema_version", "9.9"),
    "an invalid window": _set("window", "today"),
    "a window that does not match as_of": _set("window", "2026-01-19-16:31"),
    "an invalid month": _set("as_of", "2026-13-01T00:00:00Z"),
    "a number for unknown funding": _set("signals.0.derivatives.funding_rate", 0),
    "an extra key": _set("signals.0.note", "hello"),
    "a setup while waiting": _set("signals.50.setup", {"side": "LONG", "entry": 2.0, "sl": 1.0, "tp": 3.0, "rr": 1.0}),
    "counts that do not add up": _set("stats.actions.LONG", 999),
    "a signal twice": _doubled,
    "a missing signal": _lost,
    "the wrong order": _reversed,
}


@pytest.mark.parametrize("violate", VIOLATIONS.values(), ids=VIOLATIONS.keys())
def test_contract_violation_is_found(feed: Feed, violate: Callable[[Feed], None]) -> None:
    violate(feed)
    assert feed_problems(orjson.dumps(feed))


@pytest.mark.parametrize("text", [b"NaN", b"Infinity", b"{", b"", b"[]"])
def test_invalid_json_is_not_a_feed(text: bytes) -> None:
    assert feed_problems(text)


def test_published_schema_is_that_of_the_models() -> None:
    assert feed_schema() == generate_schema(), "run `make schema`"


def test_schema_requires_the_documented_keys() -> None:
    signal = feed_schema()["$defs"]["Signal"]
    marked = (
        "strategy_name strategy symbol display_symbol canonical_symbol exchange source exchange_tag price score "
        "total_score rr bias action setup details htf ltf observability oi_metadata derivatives meta timestamp "
        "price_age_seconds conflict track_record"
    )
    assert set(signal["required"]) == set(marked.split())
    assert {"entry", "stop_loss", "take_profit"} <= set(signal["properties"])


def test_setups_come_first_then_the_highest_score(feed: Feed) -> None:
    keys = [(signal["action"] == "WAIT", -signal["score"]) for signal in feed["signals"]]
    assert keys == sorted(keys)


def test_unknown_ratio_is_null_in_derivatives_and_0_in_details(feed: Feed) -> None:
    unknown = [s for s in feed["signals"] if s["derivatives"]["long_short_ratio"] is None]
    known = [s for s in feed["signals"] if s["derivatives"]["long_short_ratio"] is not None]
    assert unknown
    assert known
    assert all(s["details"]["sentiment_meta"]["top_ls_ratio"] == 0 for s in unknown)
    assert all(not s["observability"]["score_composition"]["ls_ratio_available"] for s in unknown)
    assert all(
        s["details"]["sentiment_meta"]["top_ls_ratio"] == s["derivatives"]["long_short_ratio"]["value"] for s in known
    )


def test_24h_changes_are_numbers_or_null(feed: Feed) -> None:
    for block in ("details", "oi_metadata"):
        changes = {signal[block]["change_24h_pct"] for signal in feed["signals"]}
        assert len(changes) > 10, block
        assert all(change is None or -100 < change < 1000 for change in changes)
    assert all(s["oi_metadata"]["change_24h_pct"] is None for s in feed["signals"] if s["oi_metadata"]["value"] is None)


def test_score_parts_add_up_to_the_total(feed: Feed) -> None:
    for signal in feed["signals"]:
        parts = dict(signal["details"]["score_breakdown"])
        total, base, penalty = parts.pop("total"), parts.pop("base"), parts.pop("penalty", 0.0)
        assert base == pytest.approx(sum(parts.values()) - penalty - parts["oi_flow"] - parts["sentiment"], abs=1e-5)
        assert total == signal["score"]
        total = min(max(sum(parts.values()) - penalty, 0.0), 100.0)
        assert signal["score"] == pytest.approx(total, abs=1e-5)
        assert signal["score"] == signal["total_score"] == signal["details"]["total"]


def test_documented_jq_command_works_on_the_feed(content: bytes, feed: Feed) -> None:
    if shutil.which("jq") is None:
        assert {"timestamp": feed["last_updated"], "signals": len(feed["signals"])}["signals"] > 0
        pytest.skip("jq is not installed; checked the parsed feed instead")
    counted = subprocess.run(
        ["jq", "-c", "{timestamp: .last_updated, signals: (.signals | length)}"],
        input=content,
        capture_output=True,
        check=True,
        timeout=30,
    )
    assert orjson.loads(counted.stdout)["signals"] == feed["stats"]["signals"]


def test_selected_feed_is_valid_with_its_own_counts(feed: Feed) -> None:
    before = copy.deepcopy(feed)
    chosen = select_signals(feed, strategies=["breakout"], exchange="mexc")
    assert feed == before
    assert feed_problems(orjson.dumps(chosen)) == []
    assert {signal["exchange"] for signal in chosen["signals"]} == {"MEXC"}
    nothing = select_signals(feed, symbol="no such market")
    assert nothing["stats"]["signals"] == 0
    assert feed_problems(orjson.dumps(nothing)) == []
