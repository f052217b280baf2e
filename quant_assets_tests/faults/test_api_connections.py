"""Faulty responses cost retries and never data: what is stored, what is fetched again, what is spent."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from quant_assets_tests.faults.conftest import MARKETS, Stored, Sweep
from quant_assets_tests.faults.faulty_responses import FAULTY_RESPONSES, Corruption
from quant_assets_tests.faults.proxy import Alter, ProxiedRequest
from quant_assets_tests.faults.seeding import rounds, seeded_random
from quant_assets_tests.providers.coinalyze.scripted import Canned

REQUESTS = 8
CALLS = MARKETS * 4
ATTEMPTS = 5
MAX_CONSECUTIVE_FAILURES = 3
#: Short enough to give up a silent provider soon, long enough for responses on a busy machine.
SHORT_TIMEOUT = {"read_timeout_seconds": 3.0}


def altered_when(trouble: Corruption, hit: Callable[[int], bool]) -> Alter:
    return lambda request, answer: trouble(answer) if hit(request.number) else answer


@pytest.mark.parametrize("kind", FAULTY_RESPONSES)
def test_transient_error_costs_one_retry_and_no_data(sweep: Sweep, clean: Stored, kind: str) -> None:
    begins = seeded_random(f"passing {kind}").randrange(REQUESTS - 1)  # the last may have no point to alter
    struck: list[int] = []

    def strike(request: ProxiedRequest, answer: Canned) -> Canned:
        spoilt = FAULTY_RESPONSES[kind](answer)
        if struck or request.number < begins or spoilt == answer:
            return answer
        struck.append(request.number)
        return spoilt

    sweep.proxy.alter = strike
    _, report = sweep.refresh(client=sweep.client(**SHORT_TIMEOUT))
    assert len(sweep.proxy.requests) == report.requests == REQUESTS + 1
    (number,) = struck
    assert sweep.proxy.requests[number].symbols == sweep.proxy.requests[number + 1].symbols
    assert sweep.proxy.calls == report.calls == CALLS + len(sweep.proxy.requests[number].symbols)
    assert (report.stopped, report.problems, report.retries) == ("", [], 1)
    assert sweep.stored() == clean


#: All in the long form, but for the silent provider, which takes too long.
LASTING = [kind for kind in FAULTY_RESPONSES if kind != "no answer in time"]


@pytest.mark.parametrize("kind", seeded_random("lasting").sample(LASTING, rounds(5, len(LASTING))))
def test_lasting_error_ends_the_refresh_and_keeps_what_was_fetched(sweep: Sweep, clean: Stored, kind: str) -> None:
    begins = seeded_random(f"lasting {kind}").randrange(REQUESTS - MAX_CONSECUTIVE_FAILURES)
    sweep.proxy.alter = altered_when(FAULTY_RESPONSES[kind], lambda arrived: arrived >= begins)
    _, report = sweep.refresh()
    assert report.stopped == "provider_unavailable"
    assert len(report.problems) == MAX_CONSECUTIVE_FAILURES
    assert len(sweep.proxy.requests) == begins + MAX_CONSECUTIVE_FAILURES * ATTEMPTS
    had = sweep.proxy.requests[:begins]
    sweep.proxy.alter = lambda _, answer: answer
    sweep.proxy.requests.clear()
    _, report = sweep.refresh()
    assert report.stopped == ""
    assert sweep.proxy.calls == CALLS - sum(len(request.symbols) for request in had)
    assert sweep.stored() == clean


def test_provider_that_goes_down_is_asked_for_the_rest_once_it_is_back(sweep: Sweep, clean: Stored) -> None:
    last = seeded_random("goes away").randrange(1, REQUESTS - MAX_CONSECUTIVE_FAILURES)

    def go_away(request: ProxiedRequest, answer: Canned) -> Canned:
        if request.number < last:
            return answer
        sweep.proxy.refuse()
        return Canned(ending="early reset")

    sweep.proxy.alter = go_away
    _, report = sweep.refresh()
    assert report.stopped == "provider_unavailable"
    assert len(sweep.proxy.requests) == last + 1
    fetched = sum(len(request.symbols) for request in sweep.proxy.requests[:last])
    _, report = sweep.refresh(client=sweep.client(url=sweep.provider.emulator.url))
    assert (report.stopped, report.calls) == ("", CALLS - fetched)
    assert sweep.stored() == clean


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/v1", "https://coinalyze.invalid/v1"], ids=["refused", "no name"])
def test_unreachable_provider_ends_the_refresh_and_keeps_known_data(sweep: Sweep, url: str) -> None:
    sweep.refresh()
    known = sweep.stored()
    sweep.provider.clock.sleep(3600)
    symbol_map, report = sweep.refresh(client=sweep.client(url=url, max_attempts=1))
    assert (report.stopped, report.requests) == ("provider_unavailable", MAX_CONSECUTIVE_FAILURES)
    assert all("the connection failed" in problem for problem in report.problems)
    assert len(symbol_map) == MARKETS
    assert sweep.stored() == known
