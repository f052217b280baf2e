"""The checks of `features`, each on tables that pass it and on tables that fail it."""

from __future__ import annotations

import dagster as dg
import pandas as pd
import pytest

from quant_assets.defs.assets.feature_checks import checks
from quant_assets.signals import STALE_CANDLES, Features, table_of

FIRST, SECOND = "2026-01-19-16:30", "2026-01-19-16:45"


def table(markets: int = 10, *, unusable: int = 0, neutral: int = 0, unknown: int = 0) -> pd.DataFrame:
    """Features of some markets: so many that cannot be judged, without a symbol, with a symbol but no open interest."""
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


def result(name: str, *tables: pd.DataFrame) -> dg.AssetCheckResult:
    """The result of a check on a table, or on those of two windows."""
    found = {check.check_name: check for check in checks(dict(zip((FIRST, SECOND), tables, strict=False)))}
    return found[name]


def shown(check: dg.AssetCheckResult, name: str) -> object:
    return check.metadata[name].value  # type: ignore[union-attr]


def test_a_sound_table_passes_every_check() -> None:
    found = list(checks({FIRST: table()}))
    assert [check.check_name for check in found] == ["unusable", "with_open_interest", "finite"]
    assert all(check.passed for check in found)


@pytest.mark.parametrize(("unusable", "passed"), [(3, True), (4, False), (10, False)])
def test_more_than_a_third_unusable_markets_fail(unusable: int, passed: bool) -> None:
    check = result("unusable", table(unusable=unusable))
    assert check.passed is passed
    assert check.severity is dg.AssetCheckSeverity.WARN
    assert shown(check, "share") == unusable / 10


@pytest.mark.parametrize(("unknown", "passed"), [(2, True), (3, False), (10, False)])
def test_open_interest_known_for_less_than_80_percent_fails(unknown: int, passed: bool) -> None:
    check = result("with_open_interest", table(unknown=unknown))
    assert check.passed is passed
    assert check.severity is dg.AssetCheckSeverity.WARN
    assert shown(check, "share") == pytest.approx(1 - unknown / 10)


def test_markets_without_a_symbol_for_open_interest_do_not_count() -> None:
    assert result("with_open_interest", table(neutral=8)).passed
    assert result("with_open_interest", table(neutral=10)).passed
    assert not result("with_open_interest", table(neutral=8, unknown=1)).passed


@pytest.mark.parametrize("value", [float("inf"), float("-inf")])
def test_an_infinite_value_fails_with_severity_error(value: float) -> None:
    broken = table()
    broken.loc[3, "htf_rsi"] = value
    broken.loc[4, "oi_slope"] = value
    check = result("finite", broken)
    assert not check.passed
    assert check.severity is dg.AssetCheckSeverity.ERROR
    assert shown(check, "infinite") == {"htf_rsi": 1, "oi_slope": 1}


def test_an_unknown_value_is_no_infinity() -> None:
    unknown = table()
    assert unknown["htf_rsi"].isna().all()
    assert result("finite", unknown).passed


@pytest.mark.parametrize(
    ("name", "worse"),
    [
        ("unusable", table(unusable=5)),
        ("with_open_interest", table(unknown=5)),
        ("finite", table().assign(price=float("inf"))),
    ],
)
def test_the_worst_window_decides_and_is_named(name: str, worse: pd.DataFrame) -> None:
    for tables, window in (((table(), worse), SECOND), ((worse, table()), FIRST)):
        check = result(name, *tables)
        assert not check.passed
        assert shown(check, "window") == window


def test_a_window_without_markets_passes() -> None:
    assert all(check.passed for check in checks({FIRST: table(0)}))
