"""The tables of the best signals at different widths of the terminal."""

from __future__ import annotations

import copy
import io
from typing import Any

import orjson
import pytest
from rich.cells import cell_len
from rich.console import Console

from quant_assets.cli.signal_tables import CONFLICT_MARK, OLD_PRICE_MARK, signal_tables
from quant_assets.signals import GateIndex, discover_strategies
from quant_assets_tests.world import World

WIDTHS = (60, 80, 110, 140, 200)
COUNT = 15
GATES = GateIndex(discover_strategies().strategies)
Feed = dict[str, Any]


def signal(**changes: Any) -> dict[str, Any]:
    """Return a LONG with a setup, as in a feed."""
    made: dict[str, Any] = {
        "exchange": "BINANCE",
        "symbol": "BTCUSDT",
        "display_symbol": "BTCUSDT",
        "canonical_symbol": "BTC",
        "strategy_name": "BreakoutV2",
        "action": "LONG",
        "bias": "LONG",
        "score": 85.0,
        "conflict": False,
        "price": 98123.4,
        "price_age_seconds": 0.0,
        "rr": 2.5,
        "entry": 98000.1,
        "stop_loss": 97000.2,
        "take_profit": 100500.3,
        "setup": {"entry": 98000.1},
        "details": {"reason": None},
        "oi_metadata": {"z_score": 1.25, "status": "resolved", "age_seconds": 600.0},
    }
    return {**made, **changes}


def waiting(**changes: Any) -> dict[str, Any]:
    """Return a WAIT, as in a feed."""
    nothing = {"action": "WAIT", "rr": 0.0, "entry": None, "stop_loss": None, "take_profit": None, "setup": None}
    details = {"reason": "poor_risk_reward", "reason_value": 0.83, "reason_bound": 1.0}
    return signal(**{**nothing, "score": 40.0, "details": details, **changes})


def feed_of(*signals: dict[str, Any], simulated: bool = False) -> Feed:
    return {"signals": list(signals), "as_of": "2026-01-19T17:00:00Z", "simulated": simulated}


NAMES = ("BTCUSDT", "1000000MOGUSDT", "币安人生USDT", "VERYLONGNAMEOFAMARKETUSDT", "A" * 40)
EXCHANGES = ("BINANCE", "HYPERLIQUID", "OKX", "KUCOIN")
STRATEGIES = ("Legacy", "Breakout", "BreakoutV2")


def rows(make: Any, **changes: Any) -> list[dict[str, Any]]:
    """Return signals that differ in every column."""
    return [
        make(
            display_symbol=NAMES[number % len(NAMES)],
            exchange=EXCHANGES[number % len(EXCHANGES)],
            strategy_name=STRATEGIES[number % len(STRATEGIES)],
            score=40.0 + number,
            bias=("LONG", "SHORT")[number % 2],
            price=0.000012345 * 10 ** (number % 9),
            oi_metadata={
                "z_score": (None, -1.5, 2.25)[number % 3],
                "status": ("resolved", "aggregated", "neutral")[number % 3],
                "age_seconds": (None, 60.0, 90000.0)[number % 3],
            },
            **changes,
        )
        for number in range(9)
    ]


FEEDS: dict[str, Feed] = {
    "setups and waits of long names": feed_of(*rows(signal), *rows(waiting), simulated=True),
    "one exchange": feed_of(*(signal(display_symbol=name) for name in NAMES)),
    "one strategy": feed_of(*(signal(display_symbol=n, exchange=e) for n, e in zip(NAMES, EXCHANGES, strict=False))),
    "conflicts": feed_of(*rows(signal, conflict=True)),
    "old prices": feed_of(*rows(signal, price_age_seconds=108_000.0), *rows(waiting, price_age_seconds=7_200.0)),
    "only waits": feed_of(*rows(waiting)),
    "only setups": feed_of(*rows(signal)),
    "one setup": feed_of(signal()),
    "one wait": feed_of(waiting()),
    "no signal": feed_of(),
}


def lines_of(feed: Feed, width: int) -> list[str]:
    """Return the lines on a terminal of this width."""
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    for table in signal_tables(feed, COUNT, width, GATES):
        console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def head_of(feed: Feed, width: int, first: str) -> list[str]:
    """Return the words of the column titles in the table whose first title is `first`."""
    return next(line for line in lines_of(feed, width) if line.strip().startswith(first)).split()


@pytest.fixture(scope="module")
def scanned(world: World) -> Feed:
    feed: Feed = orjson.loads(world.scanned("signal_tables").read_bytes())
    return feed


@pytest.fixture(params=["a scan", *FEEDS])
def feed(request: pytest.FixtureRequest, scanned: Feed) -> Feed:
    return scanned if request.param == "a scan" else FEEDS[request.param]


@pytest.mark.parametrize("width", WIDTHS)
def test_no_line_is_longer_than_the_terminal(feed: Feed, width: int) -> None:
    assert [line for line in lines_of(feed, width) if cell_len(line.rstrip()) > width] == []


@pytest.mark.parametrize("width", WIDTHS)
def test_no_cell_is_truncated(feed: Feed, width: int) -> None:
    assert [line for line in lines_of(feed, width) if "…" in line] == []


@pytest.mark.parametrize("width", WIDTHS)
def test_every_market_is_shown_in_full(feed: Feed, width: int) -> None:
    text = "\n".join(lines_of(feed, width))
    assert [one["display_symbol"] for one in feed["signals"][:COUNT] if one["display_symbol"] not in text] == []


@pytest.mark.parametrize("width", WIDTHS)
def test_every_signal_has_its_own_line(feed: Feed, width: int) -> None:
    shown = feed["signals"][:COUNT]
    text = lines_of(feed, width)
    for one in shown:
        found = [line for line in text if one["display_symbol"] in line and f"{one['score']:.1f}" in line]
        assert found, (one["display_symbol"], one["score"])


@pytest.mark.parametrize("width", [80, 110, 140, 200])
def test_setup_columns_fit_into_80_columns(width: int) -> None:
    feed = feed_of(*(one for one in rows(signal) if len(one["display_symbol"]) < 20))
    wanted = {"action", "market", "score", "R:R", "entry", "stop", "target", "exchange"}
    different = [
        {**one, "rr": 1.5 + n, "entry": 1.25 + n, "stop_loss": 1.0 + n, "take_profit": 2.0 + n}
        for n, one in enumerate(feed["signals"])
    ]
    assert set(head_of(feed_of(*different), width, "action")) >= wanted


@pytest.mark.parametrize("width", [80, 110, 140, 200])
def test_setup_columns_of_a_scan_fit_into_80_columns(scanned: Feed, width: int) -> None:
    setups = [one for one in scanned["signals"] if one["setup"] is not None][:COUNT] or [signal()]
    feed = {**scanned, "signals": setups}
    assert set(head_of(feed, width, "action")) >= {"action", "market", "score", "R:R", "entry", "stop", "target"}
    text = "\n".join(lines_of(feed, width))
    assert [one["exchange"] for one in setups if one["exchange"] not in text] == []


@pytest.mark.parametrize("width", WIDTHS)
def test_waiting_signal_shows_bias_and_reason(width: int) -> None:
    feed = feed_of(*(one for one in rows(waiting) if len(one["display_symbol"]) < 15))
    different = copy.deepcopy(feed)
    for number, one in enumerate(different["signals"]):
        one["details"]["reason_value"] = 0.1 + number / 100
    assert {"bias", "waits"} <= set(head_of(different, width, "market"))
    text = "\n".join(lines_of(different, width))
    assert "poor risk reward: 0.1 < 1" in text


@pytest.mark.parametrize("width", WIDTHS)
def test_common_reason_is_shown_in_the_title(width: int) -> None:
    text = " ".join(" ".join(lines_of(feed_of(*rows(waiting)), width)).split())
    assert "all poor risk reward: 0.83 < 1" in text


def test_constant_columns_move_to_the_title() -> None:
    text = " ".join(" ".join(lines_of(FEEDS["one exchange"], 200)).split())
    assert "all BINANCE, all BreakoutV2, OI z +1.25, OI age 10 min, open interest resolved action" in text
    assert not {"exchange", "strategy", "OI"} & set(head_of(FEEDS["one exchange"], 200, "action"))


def test_constant_prices_stay_columns() -> None:
    assert {"R:R", "entry", "stop", "target"} <= set(head_of(FEEDS["one exchange"], 110, "action"))


@pytest.mark.parametrize("width", WIDTHS)
def test_exchange_is_shown_at_every_width(width: int) -> None:
    text = " ".join(lines_of(feed_of(*rows(signal)), width))
    assert [name for name in EXCHANGES if name not in text] == []


@pytest.mark.parametrize("width", WIDTHS)
def test_single_signal_shows_exchange_and_strategy(width: int) -> None:
    for feed in (feed_of(signal()), feed_of(waiting())):
        text = " ".join(" ".join(lines_of(feed, width)).split())
        assert "all BINANCE" not in text
        assert "BINANCE" in text
        assert "BreakoutV2" in text


def test_conflict_is_marked() -> None:
    assert f"BTCUSDT{CONFLICT_MARK}" in "\n".join(lines_of(FEEDS["conflicts"], 80))


@pytest.mark.parametrize("width", WIDTHS)
def test_old_price_is_marked_at_every_width(width: int) -> None:
    old, newest = signal(price_age_seconds=960.0), signal(display_symbol="ETHUSDT", price_age_seconds=900.0)
    text = "\n".join(lines_of(feed_of(old, newest, waiting(display_symbol="SOLUSDT", price_age_seconds=1800.0)), width))
    assert f"BTCUSDT{OLD_PRICE_MARK}" in text
    assert f"SOLUSDT{OLD_PRICE_MARK}" in text
    assert f"ETHUSDT{OLD_PRICE_MARK}" not in text


def test_old_price_is_shown_if_there_is_room() -> None:
    feed = feed_of(signal(), signal(display_symbol="ETHUSDT", price_age_seconds=108_000.0))
    assert "30 h" in "\n".join(lines_of(feed, 110))


def test_simulated_data_are_marked_at_every_width() -> None:
    for width in WIDTHS:
        assert "SIMULATED DATA" in " ".join(" ".join(lines_of(feed_of(signal(), simulated=True), width)).split())


def test_feed_without_signals_has_an_empty_table() -> None:
    assert "Best 0 of 0 signals" in lines_of(feed_of(), 80)[0]


def test_control_characters_and_markup_in_names_are_escaped() -> None:
    assert "\x1b" not in "".join(lines_of(feed_of(signal(display_symbol="\x1b[2JBTC[red]x[/red]")), 80))
    assert "[red]x[/red]" in "".join(lines_of(feed_of(signal(display_symbol="BTC[red]x[/red]")), 80))
