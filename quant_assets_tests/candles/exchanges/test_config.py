"""data/exchanges.toml: what it may hold, and what is said of what it may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from quant_assets.candles.exchanges.config import (
    ExchangesConfig,
    ExchangesConfigError,
    load_exchanges,
    write_exchanges,
)


def written(folder: Path, text: str) -> Path:
    path = folder / "exchanges.toml"
    path.write_text(text)
    return path


def test_missing_file_fetches_nothing(tmp_path: Path) -> None:
    assert load_exchanges(tmp_path / "exchanges.toml") == ExchangesConfig()
    assert ExchangesConfig().exchanges == ()


def test_table_of_an_exchange_changes_what_it_names_only(tmp_path: Path) -> None:
    text = 'exchanges = ["BYBIT", "GATE"]\ntop = 200\nhistory_days = 30\n[BYBIT]\ntop = 100\n'
    config = load_exchanges(written(tmp_path, text))
    assert (config.of("BYBIT").top, config.of("BYBIT").history_days) == (100, 30)
    assert (config.of("GATE").top, config.of("GATE").history_days) == (200, 30)


def test_exchange_that_is_named_twice_is_fetched_once(tmp_path: Path) -> None:
    assert load_exchanges(written(tmp_path, 'exchanges = ["BYBIT", "OKX", "BYBIT"]')).exchanges == ("BYBIT", "OKX")


def test_patterns_name_markets_of_one_exchange_or_of_all(tmp_path: Path) -> None:
    config = load_exchanges(written(tmp_path, 'include = ["BINANCE:BTCUSDT"]\nexclude = ["*:USDC*"]\n'))
    assert config.includes("BINANCE", "BTCUSDT")
    assert not config.includes("BYBIT", "BTCUSDT")
    assert config.excludes("GATE", "USDCUSDT")


@pytest.mark.parametrize(
    ("text", "key", "advice"),
    [
        ('exchanges = ["KRAKEN"]', "exchanges.0", "known are BINANCE, BYBIT"),
        ("topp = 3", "topp", "known are"),
        ("[BYBIT]\ntopp = 3", "BYBIT.topp", "known are quotes"),
        ("[KRAKEN]\ntop = 3", "KRAKEN", "BINANCE"),
        ('include = ["BTCUSDT"]', "include.0", "EXCHANGE:SYMBOL"),
        ("top = 0", "top", "greater than or equal to 1"),
        ("history_days = 1e9", "history_days", "less than or equal to"),
        ("quotes = []", "quotes", "at least 1"),
        ("BYBIT = 3", "BYBIT", "dictionary"),
        ("top =", "exchanges.toml", "TOML"),
    ],
)
def test_invalid_content_names_the_key_and_what_would_do(tmp_path: Path, text: str, key: str, advice: str) -> None:
    with pytest.raises(ExchangesConfigError) as found:
        load_exchanges(written(tmp_path, text))
    assert key in str(found.value)
    assert advice in str(found.value)
    assert str(tmp_path) in str(found.value)


def test_written_file_is_read_back_and_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "new" / "exchanges.toml"
    write_exchanges(path, ("BYBIT", "OKX"), 50)
    assert load_exchanges(path).exchanges == ("BYBIT", "OKX")
    assert load_exchanges(path).of("OKX").top == 50
    with pytest.raises(FileExistsError):
        write_exchanges(path, ("GATE",), 1)
