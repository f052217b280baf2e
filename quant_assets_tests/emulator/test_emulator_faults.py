"""Faults on purpose: which they are, that they repeat, and how they look on the wire."""

from __future__ import annotations

import pytest
import requests

from quant_assets.emulator import Emulator, Faults


def test_server_errors_come_as_json_or_as_a_gateways_page(get, emulator: Emulator):
    emulator.faults = Faults(server_error=1.0)
    answers = [get("/exchanges") for _ in range(20)]
    assert {answer.status_code for answer in answers} == {500, 502, 503}
    assert {answer.headers["Content-Type"].split(";")[0] for answer in answers} == {
        "application/json",
        "text/html",
    }


def test_a_cut_body_is_shorter_than_promised(get, emulator: Emulator):
    emulator.faults = Faults(script=("cut",))
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError)):
        get("/exchanges")
    assert get("/exchanges").ok


def test_a_connection_may_close_without_an_answer(get, emulator: Emulator):
    emulator.faults = Faults(script=("closed",))
    with pytest.raises(requests.exceptions.ConnectionError):
        get("/exchanges")
    assert get("/exchanges").ok


def test_a_slow_answer_is_whole(get, emulator: Emulator):
    emulator.faults = Faults(script=("slow",), delay_seconds=0.05)
    answer = get("/exchanges")
    assert answer.ok
    assert answer.elapsed.total_seconds() >= 0.05


def test_a_slow_answer_can_exceed_the_patience_of_a_client(emulator: Emulator):
    emulator.faults = Faults(script=("slow",), delay_seconds=30)
    with pytest.raises(requests.exceptions.ReadTimeout):
        requests.get(emulator.url + "/exchanges", headers={"api_key": "right"}, timeout=0.1)


def test_what_a_fault_spoiled_was_counted_all_the_same(get, emulator: Emulator):
    emulator.faults = Faults(script=("server_error",))
    get("/funding-rate", symbols="BTC.H,KAITO.H")
    assert emulator.accounting.calls == 2
    assert emulator.accounting.faults == {"server_error": 1}


def test_a_refusal_uses_up_no_fault(get, emulator: Emulator):
    emulator.faults = Faults(script=("server_error",))
    assert get("/nowhere").status_code == 404
    assert get("/exchanges").status_code >= 500


def test_faults_follow_from_seed_and_number_in_about_the_shares_asked_for():
    faults = Faults(seed=3, server_error=0.1, cut=0.05, closed=0.05, slow=0.2)
    kinds = [faults.of_request(number) for number in range(4000)]
    assert kinds == [Faults(3, 0.1, 0.05, 0.05, 0.2).of_request(number) for number in range(4000)]
    assert kinds != [Faults(4, 0.1, 0.05, 0.05, 0.2).of_request(number) for number in range(4000)]
    for kind, share in (("server_error", 0.1), ("cut", 0.05), ("closed", 0.05), ("slow", 0.2), ("", 0.6)):
        assert kinds.count(kind) / 4000 == pytest.approx(share, abs=0.025)


@pytest.mark.parametrize("bad", [{"cut": 0.7, "slow": 0.6}, {"cut": -0.1}, {"script": ("explodes",)}])
def test_shares_and_names_that_make_no_sense_are_refused(bad):
    with pytest.raises(ValueError, match="Invalid shares|Unknown faults"):
        Faults(**bad)
