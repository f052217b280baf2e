"""`Retry-After` is honoured and costs one retry and no data; an invalid one is replaced by a default."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from quant_assets.emulator import Emulator, plain_universe
from quant_assets_tests.derivatives.conftest import NOW, MovableClock, Provider
from quant_assets_tests.faults.conftest import Stored, Sweep
from quant_assets_tests.faults.proxy import Alter, ProxiedRequest
from quant_assets_tests.faults.seeding import seeded_random
from quant_assets_tests.faults.test_api_connections import ATTEMPTS, CALLS, MAX_CONSECUTIVE_FAILURES, REQUESTS
from quant_assets_tests.providers.coinalyze.scripted import Canned

DATE = format_datetime(NOW + timedelta(seconds=40), usegmt=True)
WITHOUT_ADVICE = 15.0


def too_many(retry_after: str | None, first: int, last: int) -> Alter:
    headers = {} if retry_after is None else {"Retry-After": retry_after}

    def spoil(request: ProxiedRequest, answer: Canned) -> Canned:
        return Canned(429, b'{"message": "Too Many Requests"}', headers) if first <= request.number <= last else answer

    return spoil


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        ("7", 7.0),
        ("57.366", 57.366),
        (DATE, 40.0),
        (None, WITHOUT_ADVICE),
        ("nan", WITHOUT_ADVICE),
        ("inf", WITHOUT_ADVICE),
        ("a while", WITHOUT_ADVICE),
        ("", WITHOUT_ADVICE),
        ("-3", 0.0),
        ("0", 0.0),
    ],
)
def test_retry_after_is_honoured_to_the_second_and_costs_one_retry(
    sweep: Sweep, clean: Stored, retry_after: str | None, seconds: float
) -> None:
    number = seeded_random(f"pause {retry_after}").randrange(REQUESTS)
    sweep.proxy.alter = too_many(retry_after, number, number)
    _, report = sweep.refresh()
    refused, repeated = sweep.proxy.requests[number : number + 2]
    assert refused.symbols == repeated.symbols
    waited = (repeated.moment - refused.moment).total_seconds()
    # The backoff of the retry, at most half a second, is added.
    assert seconds - 0.01 <= waited <= seconds + 1.0
    assert len(sweep.proxy.requests) == REQUESTS + 1
    assert (report.stopped, report.rate_limited) == ("", 1)
    assert sweep.stored() == clean


@pytest.mark.parametrize("retry_after", ["1e9", "86400", "601"])
def test_retry_after_of_hours_sends_nothing_more_and_keeps_fetched_data(
    sweep: Sweep, clean: Stored, retry_after: str
) -> None:
    number = seeded_random(f"absurd {retry_after}").randrange(REQUESTS)
    sweep.proxy.alter = too_many(retry_after, number, number)
    begun = sweep.provider.clock.seconds()
    _, report = sweep.refresh(deadline=begun + 120)
    assert len(sweep.proxy.requests) == number + 1
    assert sweep.provider.clock.seconds() - begun <= 120
    assert any("wants a pause" in problem for problem in report.problems)
    _, report = sweep.refresh(deadline=sweep.provider.clock.seconds() + 120)
    assert report.requests == 0
    sweep.provider.clock.sleep(600)
    _, report = sweep.refresh(deadline=sweep.provider.clock.seconds() + 120)
    assert report.stopped == ""
    assert sweep.proxy.calls == CALLS + len(sweep.proxy.requests[number].symbols)
    assert sweep.stored() == clean


def test_endless_429_ends_the_refresh_after_three_requests(sweep: Sweep) -> None:
    sweep.proxy.alter = too_many("1.5", 0, 10**9)
    _, report = sweep.refresh()
    assert report.stopped == "provider_unavailable"
    assert len(sweep.proxy.requests) == MAX_CONSECUTIVE_FAILURES * ATTEMPTS


def test_limit_lower_than_configured_is_found_and_all_data_fetched(sweep: Sweep) -> None:
    sweep.provider.emulator.calls_per_minute = 40
    _, report = sweep.refresh()
    assert report.stopped == ""
    assert all(account.pending == account.failed == 0 for account in report.datasets.values())
    assert sweep.provider.emulator.accounting.calls == CALLS
    assert sweep.provider.emulator.accounting.rate_limited <= REQUESTS


def test_limit_shared_with_another_client_is_kept_after_a_few_429(tmp_path: Path) -> None:
    with ExitStack() as stack:
        clock = MovableClock()
        emulator = stack.enter_context(Emulator(plain_universe(100), calls_per_minute=32, clock=clock))
        _, report = Provider(emulator, clock, tmp_path, stack, calls_per_minute=40).refresh()
        assert report.stopped == ""
        assert 1 <= emulator.accounting.rate_limited <= 3
