"""What existing consumers rely on in the feed: types, finite numbers, sources and conflicts."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from quant_assets.common.windows import Window, parse_timestamp
from quant_assets.feed.conflicts import mark_conflicts
from quant_assets_tests.world import SAMPLE_CANDLES, World, kept_in_memory

Json = dict[str, Any]
NUMBER, TEXT, TRUTH, OBJECT = (int, float), str, bool, dict

#: Required keys of a signal, by path, and their types.
REQUIRED: dict[str, Any] = {
    **dict.fromkeys(("strategy_name", "strategy", "symbol", "display_symbol", "canonical_symbol"), TEXT),
    **dict.fromkeys(("exchange", "source", "exchange_tag", "bias", "action"), TEXT),
    **dict.fromkeys(("price", "price_age_seconds", "score", "total_score", "rr", "timestamp"), NUMBER),
    **{f"details.{name}": NUMBER for name in ("total", "trendScore", "structureScore", "moneyFlowScore")},
    **{
        f"details.{name}": NUMBER for name in ("timingScore", "vol24h", "score_breakdown.base", "score_breakdown.total")
    },
    **{f"details.oi_meta.{name}": NUMBER for name in ("oi_slope", "oi_points", "oi_avg")},
    **{f"details.sentiment_meta.{name}": NUMBER for name in ("liq_longs", "liq_shorts", "liq_ratio", "top_ls_ratio")},
    **{f"htf.{name}": TEXT for name in ("trend", "bias", "ema_bias")},
    **{f"htf.{name}": NUMBER for name in ("adx", "ema50", "ema200")},
    **{f"ltf.{name}": NUMBER for name in ("rsi", "adx", "pullbackDepth")},
    **{f"ltf.{name}": TEXT for name in ("bias", "obvImbalance", "divergence")},
    **{f"ltf.{name}": TRUTH for name in ("isPullback", "volumeOk", "momentumOk", "isOverextended")},
    "observability.score_composition": OBJECT,
    "observability.rsi_visuals": OBJECT,
    **{f"observability.{name}": NUMBER for name in ("calculated_at", "candle_index")},
    "oi_metadata.status": TEXT,
    "oi_metadata.z_score_valid": TRUTH,
    "derivatives": OBJECT,
    "meta": OBJECT,
}
TOP = ("last_updated", "published_at_ms", "signals", "schema_version", "as_of", "window", "simulated", "stats")


@pytest.fixture(scope="module", params=["simulated", "real"])
def feed(request: pytest.FixtureRequest, world: World, tmp_path_factory: pytest.TempPathFactory) -> Json:
    if request.param == "simulated":
        found: Json = orjson.loads(world.scanned("consumers").read_bytes())
        return found
    if not SAMPLE_CANDLES.is_dir():
        pytest.skip(f"no real candles at {SAMPLE_CANDLES}")
    window = Window(parse_timestamp("2026-01-19T17:00:00Z"))
    real = World(tmp_path_factory.mktemp("real"), world.emulator, SAMPLE_CANDLES, window.end)
    with kept_in_memory(real) as kept:
        return kept.scan(window=window).feed


def at(value: Any, path: str) -> Any:
    for step in path.split("."):
        value = value[step]
    return value


def numbers_in(value: Any, path: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for name, part in value.items():
            yield from numbers_in(part, f"{path}.{name}")
    elif isinstance(value, NUMBER) and not isinstance(value, bool):
        yield path, value


def test_required_keys_have_their_type(feed: Json) -> None:
    assert [name for name in TOP if name not in feed] == []
    for signal in feed["signals"]:
        for path, kind in REQUIRED.items():
            value = at(signal, path)
            assert isinstance(value, kind), f"{signal['symbol']} {path}: {value!r}"
            assert (kind is TRUTH) == isinstance(value, bool), f"{signal['symbol']} {path}: {value!r}"


def test_every_number_is_finite(feed: Json) -> None:
    for signal in feed["signals"]:
        assert [path for path, value in numbers_in(signal) if not math.isfinite(value)] == []


def test_htf_bias_is_the_side_of_the_trade(feed: Json) -> None:
    setups = [signal for signal in feed["signals"] if signal["action"] != "WAIT"]
    assert setups
    assert all(signal["htf"]["bias"] == signal["action"] == signal["setup"]["side"] for signal in setups)
    assert all(signal["htf"]["bias"] == signal["bias"] for signal in feed["signals"])
    assert any(signal["htf"]["ema_bias"] != signal["htf"]["bias"] for signal in feed["signals"])


def test_score_composition_has_no_null(feed: Json) -> None:
    """Consumers run `value !== undefined && value.toFixed(2)`, which fails on null."""
    for signal in feed["signals"]:
        composition = dict(signal["observability"]["score_composition"])
        gates = composition.pop("filters_passed")
        assert all(isinstance(value, bool) for value in gates.values())
        assert all(isinstance(value, (*NUMBER, bool)) for value in composition.values()), signal["symbol"]
        strategy_parts = signal["details"]["score_breakdown"]
        for part in ("trend", "structure", "money_flow", "timing", "geometry", "momentum"):
            assert (f"{part}_score" in composition) == (part in strategy_parts)


def test_source_is_one_of_three_candle_sources(feed: Json) -> None:
    for signal in feed["signals"]:
        exchange = signal["exchange"]
        assert signal["source"] == (exchange if exchange in {"HYPERLIQUID", "MEXC", "KUCOIN"} else "MEXC")


def test_opposite_setups_on_one_asset_are_conflicts(feed: Json) -> None:
    setups = [signal for signal in feed["signals"] if signal["action"] != "WAIT"]
    for signal in feed["signals"]:
        others = [
            {name: other[name] for name in ("exchange", "symbol", "strategy_name")} | {"side": other["action"]}
            for other in setups
            if signal["action"] != "WAIT"
            and other["canonical_symbol"] == signal["canonical_symbol"]
            and other["action"] != signal["action"]
        ]
        assert signal["conflict"] == (others or None)


def test_derivative_values_have_a_provider_and_funding_an_interval(feed: Json) -> None:
    hourly = 0
    for signal in feed["signals"]:
        derivatives = signal["derivatives"]
        assert signal["oi_metadata"]["provider"] == (None if signal["oi_metadata"]["value"] is None else "coinalyze")
        assert all(known is None or known["provider"] == "coinalyze" for known in derivatives.values())
        funding = derivatives["funding_rate"]
        hourly += funding is not None and funding["interval_hours"] == 1
        assert funding is None or funding["interval_hours"] in {None, 1}
    assert not feed["stats"]["freshness"]["funding_rate"]["fresh"] or hourly


def test_conflicts_list_the_opposite_setups_on_the_same_asset() -> None:
    signals: list[Json] = [
        {"canonical_symbol": asset, "exchange": exchange, "symbol": asset, "strategy_name": "X", "action": side}
        | {"setup": None if side == "WAIT" else {}, "conflict": None}
        for asset, exchange, side in (
            *(("BTC", "A", "LONG"), ("BTC", "B", "SHORT"), ("BTC", "C", "LONG"), ("BTC", "D", "WAIT")),
            ("ETH", "A", "SHORT"),
        )
    ]
    mark_conflicts(signals)
    named = [[other["exchange"] for other in signal["conflict"] or []] for signal in signals]
    assert named == [["B"], ["A", "C"], ["B"], [], []]
