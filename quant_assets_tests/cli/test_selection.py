"""`scan --exchange` and `--symbol` are rejected before any work if no market matches."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
import typer

from quant_assets.candles import list_markets
from quant_assets.cli.arguments import parse_selection
from quant_assets.common.settings import Settings
from quant_assets_tests.forking import run
from quant_assets_tests.world import World


@pytest.fixture(scope="module")
def named_candles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of files of which only the names matter."""
    folder = tmp_path_factory.mktemp("named")
    for market in ("BINANCE_BTCUSDT", "BINANCE_ETHUSDT", "Bybit_SOLUSDT", "KUCOIN_XBTUSDM", "OKX_CAF\u00c9USDT"):
        for timeframe in ("15m", "4h"):
            (folder / f"{market}_{timeframe}.json").write_text("[]")
    (folder / "MEXC_PEPEUSDT_1d.json").write_text("[]")
    (folder / "KUCOIN_A\x1b[31mUSDTM_15m.json").write_text("[]")
    return folder


@pytest.mark.parametrize(
    ("exchange", "symbol", "says"),
    [
        (
            "Bynance",
            "",
            "No market with candles matches --exchange 'Bynance'; similar: BINANCE; exchanges: BINANCE, Bybit,",
        ),
        ("zzz", "", "--exchange 'zzz'; exchanges: BINANCE, Bybit, KUCOIN, OKX"),
        ("", "ethustd", "--symbol 'ethustd'; similar: ETHUSDT"),
        ("", "PEPE", "--symbol 'PEPE'; exchanges: "),
        ("bybit", "ETHUSDT", "--exchange 'bybit' and --symbol 'ETHUSDT'; exchanges: "),
        ("bybit", "SOLUSDX", "--exchange 'bybit' and --symbol 'SOLUSDX'; similar: SOLUSDT; exchanges: "),
        ("", "A\x1b[30mUSDTM", "similar: A\ufffd[31mUSDTM"),
        ("mexc", "", "--exchange 'mexc'"),
    ],
    ids=[
        "similar",
        "none similar",
        "similar symbol",
        "unused",
        "not together",
        "similar on it",
        "escaped",
        "unused exchange",
    ],
)
def test_selection_without_match_suggests_similar_names(
    named_candles: Path, capsys: pytest.CaptureFixture[str], exchange: str, symbol: str, says: str
) -> None:
    with pytest.raises(typer.Exit) as ended:
        parse_selection(list_markets(named_candles), Settings(), exchange, symbol)
    assert ended.value.exit_code == 2
    message = capsys.readouterr().err
    assert says in message
    assert "\x1b" not in message
    assert len(message.splitlines()) == 1


def test_at_most_five_similar_names_are_suggested(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for letter in "ABCDEFG":
        (tmp_path / f"X_COIN{letter}USDT_15m.json").write_text("[]")
    with pytest.raises(typer.Exit):
        parse_selection(list_markets(tmp_path), Settings(), "", "COINZUSDT")
    similar = capsys.readouterr().err.partition("similar: ")[2].partition(";")[0]
    assert len(similar.split(", ")) == 5


@pytest.mark.parametrize(
    ("exchange", "symbol"),
    [
        ("", ""),
        ("binance", ""),
        ("BYBIT", "usdt"),
        ("", "xbtusd"),
        ("kucoin", "BTCUSD"),  # the display symbol
        ("okx", "cafe\u0301"),
    ],
)
def test_selection_matches_any_case_part_and_display_symbol(named_candles: Path, exchange: str, symbol: str) -> None:
    parse_selection(list_markets(named_candles), Settings(), exchange, symbol)


def test_selection_without_match_ends_before_any_work(world: World, tmp_path: Path) -> None:
    environment = {**world.environment(), "QUANT_DATA_DIR": str(tmp_path / "data")}
    calls = world.emulator.accounting.calls
    done = run("scan", str(world.candles), "--exchange", "Bynance", env=environment, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("No market with candles matches --exchange 'Bynance'; similar: BINANCE; ")
    assert world.emulator.accounting.calls == calls
    assert list(tmp_path.iterdir()) == []


def test_exchange_in_another_unicode_form_matches(world: World, tmp_path: Path) -> None:
    candles = tmp_path / "candles"
    candles.mkdir()
    for timeframe in ("15m", "4h"):
        source = next(world.candles.glob(f"BINANCE_*_{timeframe}.json"))
        (candles / f"CAF\u00c9_BTCUSDT_{timeframe}.json").write_bytes(source.read_bytes())
    environment = {**world.environment(key=None), "QUANT_DATA_DIR": str(tmp_path / "data")}
    done = run("scan", str(candles), "--exchange", "cafe\u0301", "--json", env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert orjson.loads(done.stdout)["markets"] == 1
