"""The checks of `features`, on tables that pass and tables that fail."""

from __future__ import annotations

import pandas as pd
import pytest

from quant_assets.defs.signals.feature_checks import CHECKS, SEVERITY, check_results
from quant_assets.orchestration.checks import WindowCheckResult
from quant_assets.signals import STALE_CANDLES, Features, table_of


def table(markets: int = 10, *, unusable: int = 0, neutral: int = 0, unknown: int = 0) -> pd.DataFrame:
    """Return features with counts of markets: unusable, without a symbol, and with a symbol but no open interest."""
    return table_of(
        [
            Features(
                exchange="BINANCE",
                symbol=f"COIN{number}USDT",
                canonical_symbol=f"COIN{number}",
                display_symbol=f"COIN{number}/USDT",
                window_end_ms=1_768_842_000_000,
                price=1.0,
                unusable=STALE_CANDLES if number < unusable else "",
                oi_symbol="" if number < neutral else f"COIN{number}USDT_PERP.A",
                oi_z=None if number < neutral + unknown else 0.5,
            )
            for number in range(markets)
        ]
    )


def shown(check: WindowCheckResult, name: str) -> object:
    value = check.metadata[name]
    return getattr(value, "value", value)


def test_a_sound_table_passes_every_check() -> None:
    found = check_results(table())
    assert list(found) == list(CHECKS) == ["unusable", "with_open_interest", "finite"]
    assert all(check.passed for check in found.values())


def test_infinite_numbers_are_an_error_and_the_others_warn() -> None:
    assert {name: severity.name for name, severity in SEVERITY.items()} == {
        "unusable": "WARN",
        "with_open_interest": "WARN",
        "finite": "ERROR",
    }


@pytest.mark.parametrize(("unusable", "passed"), [(3, True), (4, False), (10, False)])
def test_more_than_a_third_unusable_markets_fail(unusable: int, passed: bool) -> None:
    check = check_results(table(unusable=unusable))["unusable"]
    assert check.passed is passed
    assert shown(check, "share") == unusable / 10


@pytest.mark.parametrize(("unknown", "passed"), [(2, True), (3, False), (10, False)])
def test_open_interest_known_for_less_than_80_percent_fails(unknown: int, passed: bool) -> None:
    check = check_results(table(unknown=unknown))["with_open_interest"]
    assert check.passed is passed
    assert shown(check, "share") == pytest.approx(1 - unknown / 10)


def test_markets_without_a_symbol_for_open_interest_do_not_count() -> None:
    assert check_results(table(neutral=8))["with_open_interest"].passed
    assert check_results(table(neutral=10))["with_open_interest"].passed
    assert not check_results(table(neutral=8, unknown=1))["with_open_interest"].passed


@pytest.mark.parametrize("value", [float("inf"), float("-inf")])
def test_an_infinite_value_fails_and_is_counted(value: float) -> None:
    broken = table()
    broken.loc[3, "htf_rsi"] = value
    broken.loc[4, "oi_slope"] = value
    check = check_results(broken)["finite"]
    assert not check.passed
    assert shown(check, "infinite") == {"htf_rsi": 1, "oi_slope": 1}


def test_unknown_value_is_not_infinite() -> None:
    unknown = table()
    assert unknown["htf_rsi"].isna().all()
    assert check_results(unknown)["finite"].passed


def test_a_window_without_markets_passes() -> None:
    assert all(check.passed for check in check_results(table(0)).values())
