"""Regression tests for the findings of fuzzing."""

from __future__ import annotations

from pathlib import Path

import pytest

from quant_assets.candles import CandleFileError
from quant_assets.candles.bar_parsing import parse_bars
from quant_assets.derivatives.policy import PolicyError, load_policy
from quant_assets.markets import RulesError, load_rules, parse_symbol
from quant_assets.providers.coinalyze.models import read_markets
from quant_assets.storage.retention import RetentionError, load_retention
from quant_assets_tests.fuzz.api_bodies import MARKET
from quant_assets_tests.fuzz.candle_bytes import BAR


def written(folder: Path, content: bytes) -> Path:
    path = folder / "user.toml"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("nested", [b"[" * 5_000 + b"]" * 5_000, b'{"a":' * 5_000 + b"1" + b"}" * 5_000])
def test_candle_file_with_a_deeply_nested_field_is_rejected(nested: bytes) -> None:
    with pytest.raises(CandleFileError, match="depth limit exceeded at byte"):
        parse_bars(b"[" + BAR.replace(b"}", b',"more":' + nested + b"}") + b"]", 900_000)


@pytest.mark.parametrize("row", [b"7", b"null", b"[]", b'"BTC"', b"true"])
def test_market_list_row_that_is_no_object_affects_no_other(row: bytes) -> None:
    rows, broken = read_markets(b"[%s,%s]" % (row, MARKET))
    assert ([market.symbol for market in rows], broken) == (["BTCUSDT_PERP.A"], 1)


@pytest.mark.parametrize("field", ["symbol_on_exchange", "quote_asset", "margined", "oi_lq_vol_denominated_in"])
def test_market_list_text_that_is_no_string_counts_as_missing(field: str) -> None:
    nested = b"[" * 900 + b"]" * 900
    rows, _ = read_markets(b'[{"symbol":"A","exchange":"B","base_asset":"C","%s":%s}]' % (field.encode(), nested))
    assert getattr(rows[0], field) == ""


def test_symbol_without_its_separators_is_normalised_to_nfc() -> None:
    assert parse_symbol("CAFE-\u0301-USDT", "MEXC").base == "CAF\u00c9"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(b"quotes = " + b"[" * 5_000, "nested too deeply"), (b"quotes = " + b"1" * 5_000, "4300 digits")],
)
def test_user_file_that_breaks_tomllib_is_rejected_by_name(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = written(tmp_path, content)
    for load, error in ((load_rules, RulesError), (load_policy, PolicyError), (load_retention, RetentionError)):
        with pytest.raises(error, match=f"user.toml.*{complaint}"):
            load(path)


@pytest.mark.parametrize("days", [b"inf", b"1e12"])
def test_infinite_retention_is_rejected_when_its_file_is_read(tmp_path: Path, days: bytes) -> None:
    with pytest.raises(RetentionError, match=r"windows_days: .* less than or equal"):
        load_retention(written(tmp_path, b"windows_days = " + days))


def test_infinite_cadence_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"oldest_minutes: .* less than or equal"):
        load_policy(written(tmp_path, b"oldest_minutes = inf"))
