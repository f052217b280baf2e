"""The master feed: what its consumers rely on, held on a feed of a real scan."""

from __future__ import annotations

import copy
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from quant_assets.feed import feed_problems, feed_schema, select_signals
from quant_assets_tests.world import World

Feed = dict[str, Any]


@pytest.fixture(scope="module")
def content(world: World) -> bytes:
    return orjson.dumps(world.scan("feed").feed)


@pytest.fixture
def feed(content: bytes) -> Feed:
    return orjson.loads(content)  # type: ignore[no-any-return]


def test_a_feed_of_a_scan_keeps_the_contract(content: bytes) -> None:
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


BREACHES: dict[str, Callable[[Feed], None]] = {
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
    "a window that is none": _set("window", "today"),
    "a window of another moment": _set("window", "2026-01-19-16:31"),
    "a month that is none": _set("as_of", "2026-13-01T00:00:00Z"),
    "a number for unknown funding": _set("signals.0.derivatives.funding_rate", 0),
    "an extra key": _set("signals.0.note", "hello"),
    "a setup while waiting": _set("signals.50.setup", {"side": "LONG", "entry": 2.0, "sl": 1.0, "tp": 3.0, "rr": 1.0}),
    "counts that do not add up": _set("stats.actions.LONG", 999),
    "a signal twice": _doubled,
    "a signal lost": _lost,
    "the wrong order": _reversed,
}


@pytest.mark.parametrize("breach", BREACHES.values(), ids=BREACHES.keys())
def test_a_breach_of_the_contract_is_found(feed: Feed, breach: Callable[[Feed], None]) -> None:
    breach(feed)
    assert feed_problems(orjson.dumps(feed))


@pytest.mark.parametrize("text", [b"NaN", b"Infinity", b"{", b"", b"[]"])
def test_what_is_no_json_object_is_no_feed(text: bytes) -> None:
    assert feed_problems(text)


def test_every_required_number_of_the_contract_is_in_the_schema() -> None:
    signal = feed_schema()["$defs"]["signal"]
    marked = (
        "strategy_name strategy symbol display_symbol canonical_symbol exchange source exchange_tag price score "
        "total_score rr bias action setup details htf ltf observability oi_metadata derivatives meta timestamp "
        "price_age_seconds conflict track_record"
    )
    assert set(signal["required"]) == set(marked.split())
    assert {"entry", "stop_loss", "take_profit"} <= set(signal["properties"])


def test_setups_come_first_and_then_the_score_decides(feed: Feed) -> None:
    keys = [(signal["action"] == "WAIT", -signal["score"]) for signal in feed["signals"]]
    assert keys == sorted(keys)


def test_unknown_is_null_in_derivatives_and_nought_only_where_old_consumers_read_it(feed: Feed) -> None:
    unknown = [s for s in feed["signals"] if s["derivatives"]["long_short_ratio"] is None]
    known = [s for s in feed["signals"] if s["derivatives"]["long_short_ratio"] is not None]
    assert unknown
    assert known
    assert all(s["details"]["sentiment_meta"]["top_ls_ratio"] == 0 for s in unknown)
    assert all(not s["observability"]["score_composition"]["ls_ratio_available"] for s in unknown)
    assert all(
        s["details"]["sentiment_meta"]["top_ls_ratio"] == s["derivatives"]["long_short_ratio"]["value"] for s in known
    )


def test_changes_of_24_hours_are_numbers_or_null_and_in_no_score(feed: Feed) -> None:
    for block in ("details", "oi_metadata"):
        changes = {signal[block]["change_24h_pct"] for signal in feed["signals"]}
        assert len(changes) > 10, block
        assert all(change is None or -100 < change < 1000 for change in changes)
    assert all(s["oi_metadata"]["change_24h_pct"] is None for s in feed["signals"] if s["oi_metadata"]["value"] is None)


def test_parts_of_the_score_add_up_to_it(feed: Feed) -> None:
    for signal in feed["signals"]:
        parts = dict(signal["details"]["score_breakdown"])
        total, base, penalty = parts.pop("total"), parts.pop("base"), parts.pop("penalty", 0.0)
        assert base == pytest.approx(sum(parts.values()) - penalty - parts["oi_flow"] - parts["sentiment"], abs=1e-5)
        assert total == signal["score"]
        total = min(max(sum(parts.values()) - penalty, 0.0), 100.0)
        assert signal["score"] == pytest.approx(total, abs=1e-5)
        assert signal["score"] == signal["total_score"] == signal["details"]["total"]


def test_the_usual_checks_of_consumers_work_as_they_stand(content: bytes, feed: Feed) -> None:
    if shutil.which("jq") is None:
        assert {"timestamp": feed["last_updated"], "signals": len(feed["signals"])}["signals"] > 0
        pytest.skip("no jq on this machine; the same was asked of the parsed feed")
    counted = subprocess.run(
        ["jq", "-c", "{timestamp: .last_updated, signals: (.signals | length)}"],
        input=content,
        capture_output=True,
        check=True,
        timeout=30,
    )
    assert orjson.loads(counted.stdout)["signals"] == feed["stats"]["signals"]


def test_a_selection_keeps_the_contract_and_counts_itself(feed: Feed) -> None:
    before = copy.deepcopy(feed)
    chosen = select_signals(feed, strategies=["breakout"], exchange="mexc")
    assert feed == before
    assert feed_problems(orjson.dumps(chosen)) == []
    assert {signal["exchange"] for signal in chosen["signals"]} == {"MEXC"}
    nothing = select_signals(feed, symbol="no such market")
    assert nothing["stats"]["signals"] == 0
    assert feed_problems(orjson.dumps(nothing)) == []
