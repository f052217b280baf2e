"""Names that an exchange lists never leave the data folder, run as code, or hide another market."""

from __future__ import annotations

from pathlib import Path

from quant_assets.emulator.exchanges import HOSTILE_NAMES
from quant_assets_tests.dashboard.serving import serving
from quant_assets_tests.faults.exchange_world import ExchangeWorld
from quant_assets_tests.faults.test_hostile_names import outside

EXCHANGES = ("BYBIT", "KUCOIN")
MORE_NAMES = ("..", ".", "-", "BTC/USDT:USDT", "btc", "B\u200bTC", "\u0130", "👻", "__PROTO__", "NAN", "1E5")


def test_hostile_names_reach_feed_and_page_as_text_or_not_at_all(local: ExchangeWorld, tmp_path: Path) -> None:
    local.choose("data", EXCHANGES, top=40, days=1)
    local.fault(EXCHANGES, hostile_names=HOSTILE_NAMES + MORE_NAMES)
    before = outside(tmp_path, local.folder / "data")
    done = local.fetch("data")
    assert done.problems == []
    feed = local.scan("data")
    assert outside(tmp_path, local.folder / "data") == before
    symbols = {signal["symbol"] for signal in feed["signals"]}
    assert any("龙虾" in symbol for symbol in symbols)
    assert all(char.isalnum() or char in "_.-" for symbol in symbols for char in symbol)
    assert all(any(char.isalnum() for char in symbol) for symbol in symbols)
    assert {signal["exchange"] for signal in feed["signals"]} == set(EXCHANGES)
    listing = local.command("data", "fetch", "--list", "--max-wait", "5").stdout
    assert "not fetched, name:" in listing
    assert listing.replace("\n", "").isprintable()
    with serving(local.settings("data")) as site:
        page = site.get("/")
    assert page.status_code == 200
    assert "<SCRIPT>ALERT" not in page.text
    assert "龙虾" in page.text


def test_name_that_is_listed_twice_takes_no_bar_from_another_market(local: ExchangeWorld) -> None:
    local.choose("data", ["BYBIT"], top=100, days=1)
    local.fault("BYBIT", hostile_names=("X", "X", "BTC", "ETH", "eth"))
    local.fetch("data")
    markets = local.markets("data")["symbol"].tolist()
    assert {"XUSDT", "BTCUSDT", "ethUSDT"} <= set(markets)
    assert len(markets) == len(set(markets))
    stored = local.stored("data", "BYBIT", "15m")
    assert not stored.duplicated(["symbol", "time_ms"]).any()
    assert stored["symbol"].nunique() == len(markets)
