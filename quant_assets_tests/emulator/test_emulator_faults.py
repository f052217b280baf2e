"""Test the injected faults: kinds, repeatability, and what a client receives."""

from __future__ import annotations

import pytest
import requests

from quant_assets.emulator import Emulator, Faults


def test_server_errors_are_json_or_a_gateway_page(get, emulator: Emulator):
    emulator.faults = Faults(server_error=1.0)
    answers = [get("/exchanges") for _ in range(20)]
    assert {answer.status_code for answer in answers} == {500, 502, 503}
    assert {answer.headers["Content-Type"].split(";")[0] for answer in answers} == {
        "application/json",
        "text/html",
    }


def test_cut_body_is_shorter_than_announced(get, emulator: Emulator):
    emulator.faults = Faults(script=("cut",))
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError)):
        get("/exchanges")
    assert get("/exchanges").ok


def test_connection_can_close_without_a_response(get, emulator: Emulator):
    emulator.faults = Faults(script=("closed",))
    with pytest.raises(requests.exceptions.ConnectionError):
        get("/exchanges")
    assert get("/exchanges").ok


def test_slow_response_is_complete(get, emulator: Emulator):
    emulator.faults = Faults(script=("slow",), delay_seconds=0.05)
    answer = get("/exchanges")
    assert answer.ok
    assert answer.elapsed.total_seconds() >= 0.05


def test_slow_response_can_exceed_the_client_timeout(emulator: Emulator):
    emulator.faults = Faults(script=("slow",), delay_seconds=30)
    with pytest.raises(requests.exceptions.ReadTimeout):
        requests.get(emulator.url + "/exchanges", headers={"api_key": "right"}, timeout=0.1)


def test_web_page_can_come_with_status_200(get, emulator: Emulator):
    emulator.faults = Faults(script=("html",))
    answer = get("/exchanges")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    assert answer.text.startswith("<html>")
    assert get("/exchanges").json()


def test_garbled_body_pretends_to_be_whole(get, emulator: Emulator):
    emulator.faults = Faults(script=("", "garbled"))
    whole, half = get("/exchanges"), get("/exchanges")
    assert half.status_code == 200
    assert half.content == whole.content[: len(whole.content) // 2]
    with pytest.raises(requests.JSONDecodeError):
        half.json()


def test_post_is_refused_by_the_local_coinalyze(emulator: Emulator):
    answer = requests.post(emulator.url + "/exchanges", json={}, timeout=5)
    assert answer.status_code == 501
    assert "POST" in answer.json()["message"]


def test_request_with_a_fault_is_counted(get, emulator: Emulator):
    emulator.faults = Faults(script=("server_error",))
    get("/funding-rate", symbols="BTC.H,KAITO.H")
    assert emulator.accounting.calls == 2
    assert emulator.accounting.faults == {"server_error": 1}


def test_refused_request_uses_no_fault(get, emulator: Emulator):
    emulator.faults = Faults(script=("server_error",))
    assert get("/nowhere").status_code == 404
    assert get("/exchanges").status_code >= 500


def test_faults_depend_on_seed_and_number_in_about_the_given_shares():
    faults = Faults(seed=3, server_error=0.1, cut=0.05, closed=0.05, slow=0.2)
    kinds = [faults.of_request(number) for number in range(4000)]
    assert kinds == [Faults(3, 0.1, 0.05, 0.05, 0.2).of_request(number) for number in range(4000)]
    assert kinds != [Faults(4, 0.1, 0.05, 0.05, 0.2).of_request(number) for number in range(4000)]
    for kind, share in (("server_error", 0.1), ("cut", 0.05), ("closed", 0.05), ("slow", 0.2), ("", 0.6)):
        assert kinds.count(kind) / 4000 == pytest.approx(share, abs=0.025)


@pytest.mark.parametrize("bad", [{"cut": 0.7, "slow": 0.6}, {"cut": -0.1}, {"script": ("explodes",)}])
def test_invalid_shares_and_names_are_refused(bad):
    with pytest.raises(ValueError, match=r"Invalid shares|Unknown faults"):
        Faults(**bad)
