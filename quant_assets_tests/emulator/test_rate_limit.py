"""Test the rate limit: symbols count as calls, the window slides, Retry-After is exact."""

from __future__ import annotations

import pytest

from quant_assets.emulator import Emulator, plain_universe


def ask_for(get, count, endpoint="/open-interest"):
    return get(endpoint, symbols=",".join(["BTCUSDT_PERP.A"] * count))


def test_each_symbol_and_each_list_counts_as_one_call(get, emulator: Emulator):
    ask_for(get, 20)
    ask_for(get, 19, "/funding-rate")
    get("/exchanges")
    accounting = emulator.accounting
    assert (accounting.calls, accounting.requests) == (40, 3)
    assert accounting.by_endpoint == {"/open-interest": 1, "/funding-rate": 1, "/exchanges": 1}
    assert [len(request.symbols) for request in accounting.accepted] == [20, 19, 0]
    assert get("/exchanges").status_code == 429


def test_unknown_symbol_costs_a_call(get, emulator: Emulator):
    assert get("/open-interest", symbols="NOTHING.A,NEITHER.6").json() == []
    assert emulator.accounting.calls == 2


def test_retry_after_is_decimal_and_exact(get, clock):
    ask_for(get, 20)
    clock.move(2.634)
    ask_for(get, 20)
    refused = ask_for(get, 20)
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "57.366"
    clock.move(57.365)
    assert ask_for(get, 20).status_code == 429
    clock.move(0.001)
    assert ask_for(get, 20).status_code == 200


def test_rate_limited_request_is_not_counted(get, clock, emulator: Emulator):
    ask_for(get, 20)
    ask_for(get, 20)
    for _ in range(3):
        assert ask_for(get, 5).status_code == 429
    clock.move(60)
    assert [ask_for(get, 20).status_code for _ in range(3)] == [200, 200, 429]
    assert (emulator.accounting.calls, emulator.accounting.rate_limited) == (80, 4)


def test_small_request_fits_when_a_large_one_does_not(get):
    ask_for(get, 20)
    ask_for(get, 19)
    assert ask_for(get, 2).status_code == 429
    assert ask_for(get, 1).status_code == 200


def test_other_clients_of_the_key_spend_the_same_limit(get, clock, emulator: Emulator):
    emulator.spend(30)
    refused = ask_for(get, 11)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "60.000")
    assert emulator.accounting.calls == 0


def test_successful_response_has_no_rate_limit_headers(get):
    told = [name for name in get("/exchanges").headers if "limit" in name.lower() or "retry" in name.lower()]
    assert told == []


def test_retry_after_is_rounded_up_to_a_millisecond(get, clock):
    ask_for(get, 20)
    ask_for(get, 20)
    clock.move(0.000_001)
    assert ask_for(get, 1).headers["Retry-After"] == "60.000"
    clock.move(59.999_998)
    assert ask_for(get, 1).headers["Retry-After"] == "0.001"


@pytest.mark.parametrize("calls", [1, 2_400])
def test_rate_limit_can_be_changed_while_running(get, emulator: Emulator, calls):
    emulator.calls_per_minute = calls
    answers = [get("/exchanges").status_code for _ in range(3)]
    assert answers == ([200, 429, 429] if calls == 1 else [200, 200, 200])


def test_universe_can_be_changed_while_running(get, emulator: Emulator):
    emulator.universe = plain_universe(3)
    symbols = [row["symbol"] for row in get("/future-markets").json()]
    assert symbols == ["S0001USDT_PERP.A", "S0002USDT_PERP.A", "S0003USDT_PERP.A"]
    emulator.universe = plain_universe(0)
    assert get("/future-markets").json() == []
