"""The resource of the providers, with a provider of another package."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from pathlib import Path

import pytest
import requests

from quant_assets.common.clock import SYSTEM, Clock
from quant_assets.common.settings import Settings
from quant_assets.orchestration.resources import Providers
from quant_assets.providers.base import ProviderClient, RequestedDataset
from quant_assets.providers.budget import CallBudget
from quant_assets.providers.errors import ProviderUnavailable


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
