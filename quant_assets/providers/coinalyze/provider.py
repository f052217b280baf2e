"""Coinalyze as a provider: its settings, and what it can serve."""

from __future__ import annotations

import os
from collections.abc import Mapping

from pydantic import SecretStr

from quant_assets.common.clock import Clock
from quant_assets.common.settings import Settings
from quant_assets.providers.base import RequestedDataset
from quant_assets.providers.budget import CallBudget
from quant_assets.providers.coinalyze.client import HISTORY_FIELDS, SYMBOLS_PER_REQUEST, CoinalyzeClient


class Coinalyze:
    """The provider that serves all built-in datasets. It sends a key, so it works only with COINALYZE_API_KEY."""

    name = "coinalyze"
    label = "Coinalyze"
    url = "https://coinalyze.net/"
    symbols_per_request = SYMBOLS_PER_REQUEST

    def origin(self, settings: Settings) -> str:
        """Return the host name, or `loopback` for an emulator."""
        return settings.provider

    def calls_per_minute(self, settings: Settings) -> int:
        """Return the limit of the key."""
        return settings.calls_per_minute

    def has_key(self, settings: Settings, environment: Mapping[str, str]) -> bool:
        """Return whether a key is set for the origin of the data."""
        return settings.has_key(environment)

    def find_problem(self, dataset: RequestedDataset) -> str:
        """Return what is wrong with an entry's endpoint or columns, "" if nothing is."""
        if dataset.endpoint not in HISTORY_FIELDS:
            return f"has an unknown endpoint {dataset.endpoint!r}: expected one of {', '.join(HISTORY_FIELDS)}"
        values = len(HISTORY_FIELDS[dataset.endpoint].split())
        if len(dataset.columns) != values:
            return f"has {len(dataset.columns)} columns, but a bar of {dataset.endpoint} has {values} values"
        return ""

    def connect(self, settings: Settings, budget: CallBudget, clock: Clock) -> CoinalyzeClient:
        """Return a client. The key is read from the environment now, so that nothing else holds it."""
        key = os.environ.get(settings.key_variable, "").strip()
        secret = SecretStr(key) if key else None
        return CoinalyzeClient(secret, settings.base_url, budget, clock=clock.seconds, sleep=clock.sleep)
