"""Fixture: a client of an exchange whose responses are scripted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from quant_assets.providers.budget import CallBudget
from quant_assets.providers.exchanges.catalogue import EXCHANGE_APIS
from quant_assets.providers.exchanges.client import ExchangeClient
from quant_assets_tests.providers.coinalyze.scripted import Canned, ScriptedServer
from quant_assets_tests.providers.conftest import VirtualClock

Scripted = Callable[..., tuple[ExchangeClient, ScriptedServer, CallBudget]]


@pytest.fixture
def scripted(tmp_path: Path, clock: VirtualClock) -> Iterator[Scripted]:
    """Return a function that connects a client of an exchange to a server with these responses."""
    with ExitStack() as stack:

        def connect(exchange: str, *answers: Canned) -> tuple[ExchangeClient, ScriptedServer, CallBudget]:
            api = EXCHANGE_APIS[exchange]
            server = stack.enter_context(ScriptedServer(*answers))
            budget = CallBudget(
                tmp_path / exchange / "budget.sqlite",
                api.limit,
                period_seconds=api.period_seconds,
                clock=clock,
                sleep=clock.sleep,
            )
            stack.callback(budget.close)
            client = ExchangeClient(api, budget, server.url.removesuffix("/v1"), clock=clock, sleep=clock.sleep)
            stack.callback(client.close)
            return client, server, budget

        yield connect
