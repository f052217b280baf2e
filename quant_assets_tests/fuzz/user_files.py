"""Fuzz target: the user's TOML files. Each gives usable settings, or an error that names the file.

Run it by `python -m quant_assets_tests.fuzz user_files --seconds 60`, where atheris is installed
(`pip install -e '.[fuzz]'`).
"""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from quant_assets.derivatives.datasets import DATASETS, ENTRIES
from quant_assets.derivatives.policy import PolicyError, load_policy
from quant_assets.markets import ResolutionRules, RulesError, load_rules, parse_symbol, resolve_markets
from quant_assets.signals import ParametersError, discover_strategies, parameters_of, with_parameters
from quant_assets.storage.retention import RetentionError, load_retention
from quant_assets_tests.markets.sample_list import NOW, ROWS, markets, table

LIST = table(ROWS)
MARKETS = markets(("BINANCE", "BTCUSDT"), ("KUCOIN", "XBTUSDTM"), ("MEXC", "PUMPUSDT"))

WORDS = (
    *(key.encode() for key in ResolutionRules.model_fields),
    *(
        b"open_interest_minutes",
        b"oldest_minutes",
        b"windows_days",
        b"bars_days",
        b"exchange_bars_days",
        b"runs_days",
        b"inf",
        b"nan",
        b"1e9",
    ),
    *(
        b"[legacy]\n",
        b"threshold = ",
        b"stop_atr",
        b"min_reward",
        b"[breakout]\n",
        b"farthest",
        b"max_distance",
        b"min_rr",
    ),
    *(b' = ["USDT"]', b"[aliases]\n", b'[["A:B", "*:B"]]', b"[[[[[[[[", b'"""', b"1979-05-27T07:32:00Z", b"\\u0000"),
)
SEEDS = (
    b"",
    b'quotes = ["USDT", "U"]\nnever_match = [["MEXC:PUMP", "*:PUMP"]]\n[aliases]\nXDG = "DOGE"\n',
    b'reference_exchanges = ["OKX"]\n[exchange_aliases.MEXC]\nPUMP = "PUMPFUN"\n[synonyms]\nA = "B"\nB = "A"\n',
    b'without_liquidations = []\n[stand_ins]\nMEXC = "Y"\n',
    b"open_interest_minutes = 30\noldest_minutes = 60.5\n",
    b"windows_days = 40\nbars_days = 60\n",
    b"windows_days = inf\n",
    b"windows_days = 1e12\n",
    b"runs_days = nan\n",
    b"oldest_minutes = inf\n",
    b"\xef\xbb\xbfwindows_days = 40\n",
    b"[legacy]\nthreshold = 65\n[breakout]\nmin_rr = 1.5\n",
    b"[legacy]\nthreshold = 100.1\n",
    b"[legacy]\nthreshold = true\n",
    b"quotes = " + b"[" * 2_000 + b"]" * 2_000,
    b"quotes = " + b"1" * 5_000,
)


def check(data: bytes) -> None:
    """Check bytes as each of the user's files, and use the settings."""
    with tempfile.NamedTemporaryFile(suffix=".toml") as file:
        file.write(data)
        file.flush()
        path = Path(file.name)
        try:
            rules = load_rules(path)
        except RulesError as error:
            _check_message(path, error)
        else:
            assert parse_symbol("XBT-USDT", "KUCOIN", rules).base
            assert len(resolve_markets(MARKETS, LIST, datasets=ENTRIES, now=NOW, rules=rules)) == len(MARKETS)
        try:
            policy = load_policy(path)
        except PolicyError as error:
            _check_message(path, error)
        else:
            assert all(timedelta(seconds=policy.cadence_seconds(dataset)) for dataset in DATASETS)
            assert timedelta(minutes=policy.oldest_minutes)
        try:
            retention = load_retention(path)
        except RetentionError as error:
            _check_message(path, error)
        else:
            for days in retention.model_dump().values():
                assert datetime.now(UTC) - timedelta(days=days)
        try:
            strategies = with_parameters(discover_strategies().strategies, path)
        except ParametersError as error:
            _check_message(path, error)
        else:
            assert 0 <= parameters_of(strategies[-1])["threshold"] <= 100


def _check_message(path: Path, error: ValueError) -> None:
    assert str(path) in str(error)
    assert len(str(error).splitlines()) <= 2
