"""Notices reach every notifier that works, and no message shows the address of a webhook."""

from __future__ import annotations

import json
import logging

import pytest
import requests

from quant_assets.alerts.notices import Notice, Webhook, WebhookError, log_notice, send
from quant_assets_tests.providers.coinalyze.scripted import Canned, ScriptedServer

NOTICE = Notice("master_feed is stale", "Its newest data are too old.")


def test_webhook_receives_notice_as_json() -> None:
    with ScriptedServer(Canned(body=b"ok")) as server:
        assert send(NOTICE, [Webhook(server.url)]) == []
    body = json.loads(server.bodies[0])
    assert body["text"] == body["content"] == f"{NOTICE.subject}\n{NOTICE.text}"


def test_failing_notifier_does_not_stop_others(caplog: pytest.LogCaptureFixture) -> None:
    def broken(notice: Notice) -> None:
        raise ValueError("no line")

    with caplog.at_level(logging.WARNING):
        assert send(NOTICE, [broken, log_notice]) == ["a notice could not be sent: ValueError: no line"]
    assert NOTICE.subject in caplog.text


def test_error_of_a_notifier_is_shown_without_its_address() -> None:
    def post(notice: Notice) -> None:
        requests.post("http://127.0.0.1:9/T0/secret?key=secret", timeout=5)

    (problem,) = send(NOTICE, [post])
    assert problem.startswith("a notice could not be sent: ConnectionError: ")
    assert "secret" not in problem


@pytest.mark.parametrize("status", [404, 500, 302])
def test_rejecting_webhook_is_reported_without_address(status: int) -> None:
    with ScriptedServer(Canned(status=status, body=b"no")) as server:
        (problem,) = send(NOTICE, [Webhook(f"{server.url}/T0/secret")])
    assert str(status) in problem
    assert "secret" not in problem


def test_unreachable_webhook_is_reported_without_address() -> None:
    (problem,) = send(NOTICE, [Webhook("http://127.0.0.1:9/T0/secret")])
    assert "cannot be reached" in problem
    assert "secret" not in problem


@pytest.mark.parametrize("address", ["http://example.com/T0/secret", "ftp://example.com", "no address"])
def test_webhook_without_https_is_rejected(address: str) -> None:
    with pytest.raises(WebhookError, match="QUANT_WEBHOOK_URL") as caught:
        Webhook(address)
    assert "secret" not in str(caught.value)


def test_webhook_redirect_is_not_followed() -> None:
    with (
        ScriptedServer(Canned()) as other,
        ScriptedServer(Canned(302, b"", {"Location": f"{other.url}/T0"})) as server,
    ):
        (problem,) = send(NOTICE, [Webhook(f"{server.url}/T0/secret")])
        assert other.paths == []
    assert "302" in problem


def test_loopback_webhook_bypasses_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer(Canned(502)) as proxy, ScriptedServer(Canned(body=b"ok")) as server:
        monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/v1"))
        assert send(NOTICE, [Webhook(server.url)]) == []
        assert (len(server.bodies), proxy.paths) == (1, [])


def test_invalid_webhook_address_is_not_shown() -> None:
    with pytest.raises(WebhookError) as caught:
        Webhook("https://[secret/hook")
    assert "secret" not in str(caught.value)
