"""Fixtures: a client with a virtual clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from pydantic import SecretStr

from quant_assets.providers.budget import CallBudget
from quant_assets.providers.coinalyze.client import CoinalyzeClient
from quant_assets_tests.providers.conftest import VirtualClock

KEY = "k-5up3r-s3cret-0f-the-t3sts"


@pytest.fixture
def make_client(tmp_path: Path, clock: VirtualClock) -> Iterator[Callable[..., CoinalyzeClient]]:
    stack = ExitStack()

    def make(url: str, *, key: str | None = KEY, calls_per_minute: int = 40, **options: object) -> CoinalyzeClient:
        budget = CallBudget(tmp_path / "budget.sqlite", calls_per_minute, clock=clock, sleep=clock.sleep)
        secret = None if key is None else SecretStr(key)
        client = CoinalyzeClient(secret, url, budget, clock=clock, sleep=clock.sleep, **options)  # type: ignore[arg-type]
        stack.callback(budget.close)
        stack.callback(client.close)
        return client

    with stack:
        yield make
