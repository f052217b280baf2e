"""The resources of providers and notices, with code of other packages."""

from __future__ import annotations

import importlib
import logging
import traceback
from collections.abc import Mapping
from pathlib import Path

import pytest
import requests

from quant_assets.alerts.notices import Notice
from quant_assets.common.clock import SYSTEM, Clock
from quant_assets.common.settings import Settings
from quant_assets.orchestration.resources import Notifier, Providers
from quant_assets.providers.base import ProviderClient, RequestedDataset
from quant_assets.providers.budget import CallBudget
from quant_assets.providers.errors import ProviderUnavailable
from quant_assets_tests.added_dataset import install
from quant_assets_tests.providers.coinalyze.scripted import Canned, ScriptedServer


class Leaking:
    """A provider that lets an error of requests through when it connects."""

    name, label, url, symbols_per_request = "leaking", "Leaking", "https://example.com/", 5

    def origin(self, settings: Settings) -> str:
        return "loopback"

    def calls_per_minute(self, settings: Settings) -> int:
        return 60

    def has_key(self, settings: Settings, environment: Mapping[str, str]) -> bool:
        return True

    def find_problem(self, dataset: RequestedDataset) -> str:
        return ""

    def connect(self, settings: Settings, budget: CallBudget, clock: Clock) -> ProviderClient:
        requests.get("http://127.0.0.1:9/v1/session?api_key=secret", timeout=5)
        raise AssertionError("nothing listens there")


def test_provider_that_cannot_connect_is_reported_without_its_address(tmp_path: Path) -> None:
    providers = Providers(
        base_url="http://127.0.0.1:9/v1", calls_per_minute=40, key_variable="COINALYZE_API_KEY", data_dir=str(tmp_path)
    )
    with (
        pytest.raises(ProviderUnavailable, match="leaking: ConnectionError") as caught,
        providers.client(Leaking(), SYSTEM),
    ):
        pass
    assert "secret" not in "".join(traceback.format_exception(caught.value))


def test_broken_notifiers_are_logged_and_all_others_get_the_notice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    group = "quant_assets.notifiers"
    install(tmp_path, "a_broken_notifier", "import no_such_module_for_notices", {group: "send"})
    install(tmp_path, "b_notifier_of_no_use", "send = 7", {group: "send"})
    install(tmp_path, "c_working_notifier", "sent = []\nsend = sent.append", {group: "send"})
    monkeypatch.syspath_prepend(tmp_path)
    notice = Notice("master_feed is stale", "Its newest data are too old.")
    with ScriptedServer(Canned(body=b"ok")) as server, caplog.at_level(logging.WARNING):
        monkeypatch.setenv("EXAMPLE_WEBHOOK_URL", server.url)
        Notifier(address_variable="EXAMPLE_WEBHOOK_URL").send(notice)
        assert len(server.bodies) == 1
    assert importlib.import_module("c_working_notifier").sent == [notice]
    assert f"{notice.subject}: {notice.text}" in caplog.messages
    assert [record.message for record in caplog.records if record.levelno == logging.ERROR] == [
        "plugin a_broken_notifier (a_broken_notifier:send) cannot be loaded: "
        "ModuleNotFoundError: No module named 'no_such_module_for_notices'",
        "plugin b_notifier_of_no_use (b_notifier_of_no_use:send) is not a notifier: it cannot be called",
    ]
