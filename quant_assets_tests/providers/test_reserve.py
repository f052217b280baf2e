"""Calls that are reserved for a request which is not sent are returned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from quant_assets.derivatives.store import DerivativesStore, StoreError
from quant_assets.providers.base import Usage
from quant_assets.providers.budget import CallBudget
from quant_assets.providers.reserve import reserve_calls

SYMBOLS = [f"S{number}" for number in range(20)]


@pytest.fixture
def budget(tmp_path: Path) -> Iterator[CallBudget]:
    with closing(CallBudget(tmp_path / "budget.sqlite", 40)) as budget:
        yield budget


def test_calls_are_returned_if_the_store_fails_before_the_request(budget: CallBudget, tmp_path: Path) -> None:
    usage = Usage()
    with closing(DerivativesStore(tmp_path / "store.sqlite", read_only=True)) as store:

        def still_needed(symbols: Sequence[str]) -> list[str]:
            assert budget.spent() == 20
            return store.claim("liquidations", symbols, 0)

        with (
            pytest.raises(StoreError, match="read-only"),
            reserve_calls(budget, usage, SYMBOLS, still_needed=still_needed),
        ):
            pytest.fail("nothing may be sent")
    assert budget.spent() == 0
    assert usage == Usage()


def test_calls_of_a_request_that_fails_stay_counted(budget: CallBudget) -> None:
    usage = Usage()
    with pytest.raises(OSError, match="cut"), reserve_calls(budget, usage, SYMBOLS):
        raise OSError("cut")
    assert (budget.spent(), usage.calls, usage.requests) == (20, 20, 1)
