"""An answer that is of no use costs attempts, and never data: what is known, what is asked again, what is spent."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from quant_assets_tests.faults.chance import dice, rounds
from quant_assets_tests.faults.conftest import MARKETS, Stored, Sweep
from quant_assets_tests.faults.gate import Asked, Spoil
from quant_assets_tests.faults.troubles import TROUBLES, Trouble
from quant_assets_tests.providers.coinalyze.scripted import Canned

REQUESTS = 8
CALLS = MARKETS * 4
ATTEMPTS = 5
IN_A_ROW = 3
#: A silent provider is given up soon, but no answer is that comes late since other work is going on beside.
PATIENCE = {"read_seconds": 3.0}


def befalls(trouble: Trouble, hit: Callable[[int], bool]) -> Spoil:
    return lambda asked, answer: trouble(answer) if hit(asked.number) else answer


@pytest.mark.parametrize("kind", TROUBLES)
def test_transient_error_costs_one_retry_and_no_data(sweep: Sweep, clean: Stored, kind: str) -> None:
    begins = dice(f"passing {kind}").randrange(REQUESTS - 1)  # the last may have no point that could be spoilt
    struck: list[int] = []

    def strike(asked: Asked, answer: Canned) -> Canned:
        spoilt = TROUBLES[kind](answer)
        if struck or asked.number < begins or spoilt == answer:
            return answer
        struck.append(asked.number)
        return spoilt

    sweep.gate.spoil = strike
    _, report = sweep.refresh(client=sweep.client(**PATIENCE))
    assert len(sweep.gate.asked) == report.requests == REQUESTS + 1
    (number,) = struck
    assert sweep.gate.asked[number].symbols == sweep.gate.asked[number + 1].symbols
    assert sweep.gate.calls == report.calls == CALLS + len(sweep.gate.asked[number].symbols)
    assert (report.stopped, report.problems, report.retries) == ("", [], 1)
    assert sweep.stored() == clean


#: All of them in the long form; a silent provider would only take long.
LASTING = [kind for kind in TROUBLES if kind != "no answer in time"]


@pytest.mark.parametrize("kind", dice("lasting").sample(LASTING, rounds(5, len(LASTING))))
def test_lasting_error_ends_the_refresh_and_keeps_what_was_fetched(sweep: Sweep, clean: Stored, kind: str) -> None:
    begins = dice(f"lasting {kind}").randrange(REQUESTS - IN_A_ROW)
    sweep.gate.spoil = befalls(TROUBLES[kind], lambda arrived: arrived >= begins)
    _, report = sweep.refresh()
    assert report.stopped == "provider_unavailable"
    assert len(report.problems) == IN_A_ROW
    assert len(sweep.gate.asked) == begins + IN_A_ROW * ATTEMPTS
    had = sweep.gate.asked[:begins]
    sweep.gate.spoil = lambda _, answer: answer
    sweep.gate.asked.clear()
    _, report = sweep.refresh()
    assert report.stopped == ""
    assert sweep.gate.calls == CALLS - sum(len(asked.symbols) for asked in had)
    assert sweep.stored() == clean


def test_provider_that_goes_down_is_asked_for_the_rest_once_it_is_back(sweep: Sweep, clean: Stored) -> None:
    last = dice("goes away").randrange(1, REQUESTS - IN_A_ROW)

    def go_away(asked: Asked, answer: Canned) -> Canned:
        if asked.number < last:
            return answer
        sweep.gate.refuse()
        return Canned(ending="early reset")

    sweep.gate.spoil = go_away
    _, report = sweep.refresh()
    assert report.stopped == "provider_unavailable"
    assert len(sweep.gate.asked) == last + 1
    fetched = sum(len(asked.symbols) for asked in sweep.gate.asked[:last])
    _, report = sweep.refresh(client=sweep.client(url=sweep.provider.emulator.url))
    assert (report.stopped, report.calls) == ("", CALLS - fetched)
    assert sweep.stored() == clean


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/v1", "https://coinalyze.invalid/v1"], ids=["refused", "no name"])
def test_unreachable_provider_ends_the_refresh_and_keeps_known_data(sweep: Sweep, url: str) -> None:
    sweep.refresh()
    known = sweep.stored()
    sweep.provider.clock.sleep(3600)
    symbol_map, report = sweep.refresh(client=sweep.client(url=url, attempts=1))
    assert (report.stopped, report.requests) == ("provider_unavailable", IN_A_ROW)
    assert all("the connection failed" in problem for problem in report.problems)
    assert len(symbol_map) == MARKETS
    assert sweep.stored() == known
