"""Test loading the resolution rules from a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from quant_assets.markets import ResolutionRules, RulesError, load_rules

EVERY_KEY = """
quotes = ["USDT", "U"]
never_match = [["MEXC:PUMP", "*:PUMP"]]
reference_exchanges = ["OKX", "Binance"]
without_liquidations = ["OKX"]
[aliases]
XDG = "DOGE"
[exchange_aliases.MEXC]
PUMP = "PUMPFUN"
[synonyms]
"My Gate" = "GATE"
[stand_ins]
MEXC = "Y"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "rules.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_key_is_loaded_from_the_file(tmp_path: Path) -> None:
    rules = load_rules(write(tmp_path, EVERY_KEY))
    assert rules.quotes == ("USDT", "U")
    assert rules.never_match == (("MEXC:PUMP", "*:PUMP"),)
    assert rules.reference_exchanges == ("OKX", "Binance")
    assert rules.without_liquidations == ("OKX",)
    assert rules.exchange_aliases == {"MEXC": {"PUMP": "PUMPFUN"}}
    assert rules.stand_ins == {"MEXC": "Y"}


def test_aliases_and_synonyms_add_to_the_defaults(tmp_path: Path) -> None:
    rules = load_rules(write(tmp_path, EVERY_KEY))
    assert [rules.alias(base, "") for base in ("XBT", "XDG", "ETH")] == ["BTC", "DOGE", "ETH"]
    assert rules.exchange_key("MYGATE") == rules.exchange_key("Gate.io")
    assert rules.exchange_key("HTX") == rules.exchange_key("Huobi")


def test_an_empty_file_gives_the_defaults(tmp_path: Path) -> None:
    assert load_rules(write(tmp_path, "")) == ResolutionRules()


def test_cyclic_synonyms_terminate() -> None:
    rules = ResolutionRules(synonyms={"A": "B", "B": "A"})
    assert rules.exchange_key("A") in {"a", "b"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("refrence_exchanges = []", "refrence_exchanges: unknown key"),
        ("quotes = 'USDT'", "quotes"),
        ("quotes = ['USDT', '']", "quotes.1"),
        ("aliases = 3", "aliases"),
        ("aliases = {XBT = 3}", "aliases.XBT"),
        ("never_match = [['MEXC:PUMP', 'PUMP']]", "'PUMP' is not of the form EXCHANGE:ASSET"),
        ("quotes = ", "cannot be read as TOML"),
    ],
)
def test_invalid_file_is_refused_with_its_name_and_key(tmp_path: Path, text: str, complaint: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(RulesError) as refusal:
        load_rules(path)
    assert str(path) in str(refusal.value)
    assert complaint in str(refusal.value)


def test_missing_file_gives_the_defaults(tmp_path: Path) -> None:
    assert load_rules(tmp_path / "nothing.toml") == ResolutionRules()


def test_rules_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        ResolutionRules().quotes = ()
