"""Whatever JSON an exchange sends, its client returns markets and bars or raises a documented error."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from quant_assets.candles.exchanges.config import ExchangesConfig
from quant_assets.candles.exchanges.market_lists import fetch_exchange_markets
from quant_assets.candles.fetched_bars import check_fetched_bars, table_of_fetched
from quant_assets.common.timeframes import STEP_MS
from quant_assets.emulator.exchanges import APIS
from quant_assets.markets import ResolutionRules
from quant_assets.providers.budget import CallBudget
from quant_assets.providers.errors import ProviderError
from quant_assets.providers.exchanges.catalogue import EXCHANGE_APIS
from quant_assets.providers.exchanges.client import ExchangeClient
from quant_assets_tests.faults.exchange_proxy import Alter, ExchangeProxy
from quant_assets_tests.faults.exchange_world import ExchangeWorld, exchange_world
from quant_assets_tests.faults.seeding import rounds, seeded_random
from quant_assets_tests.providers.coinalyze.scripted import Canned

STEP = STEP_MS["15m"]
#: Values in place of those of an exchange; Infinity and NaN are written as Python writes them, which is no JSON.
ODD: tuple[Any, ...] = (
    *(None, True, False, "", "x", [], {}, [[]], [None], {"code": "0"}, 0, -1, 1.5, 1e308, 10**400, -(10**400)),
    *("NaN", "Infinity", "-Infinity", "1e999", "1e-999", "0", "-1", "1" * 400, "0x10", "١٢", "\ud83d\ude00", "\x00"),
    *(float("inf"), float("nan"), "../..", "BTC/USDT:USDT", "9" * 5000),
)


def altered(rng: Random) -> Alter:
    """Return a function that changes some values of a JSON body."""

    def alter(_: str, answer: Canned) -> Canned:
        content = json.loads(answer.body)
        for _ in range(rng.choice((1, 1, 2, 8))):
            content = replace_somewhere(rng, content)
        return replace(answer, body=json.dumps(content).encode())

    return alter


def replace_somewhere(rng: Random, content: Any) -> Any:
    """Replace, remove or double a value at any depth."""
    if not isinstance(content, dict | list) or not content or rng.random() < 0.08:
        return rng.choice(ODD)
    place: Any = rng.choice(list(content)) if isinstance(content, dict) else rng.randrange(len(content))
    if rng.random() < 0.1:
        del content[place]
    elif isinstance(content, list) and rng.random() < 0.1:
        content.append(content[place])
    else:
        content[place] = replace_somewhere(rng, content[place])
    return content


@pytest.fixture(scope="module")
def all_served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExchangeWorld]:
    with exchange_world(tmp_path_factory.mktemp("bodies"), tuple(APIS)) as made:
        yield made


@pytest.mark.parametrize("exchange", EXCHANGE_APIS)
def test_any_json_gives_markets_and_bars_or_a_documented_error(
    all_served: ExchangeWorld, tmp_path: Path, exchange: str
) -> None:
    rng, problems, api = seeded_random(f"bodies {exchange}"), list[str](), EXCHANGE_APIS[exchange]
    with ExitStack() as stack:
        budget = CallBudget(tmp_path / "budget.sqlite", 10**9)
        stack.callback(budget.close)
        proxy = stack.enter_context(ExchangeProxy(all_served.exchanges[exchange].url))
        client = ExchangeClient(api, budget, proxy.address, sleep=lambda _: None, max_attempts=1)
        stack.callback(client.close)
        listed = client.markets()
        market = next(each for each in listed if each.is_perpetual and each.is_linear and each.is_active)
        client.set_markets([market])
        end = int(time.time() * 1000) // STEP * STEP
        for _ in range(rounds(20, 600)):
            proxy.alter = altered(rng)
            try:
                rows = client.bars(market, "15m", end - 20 * STEP, end)
                checked = check_fetched_bars(rows, STEP, end + STEP)
                assert len(table_of_fetched([(market.symbol, checked)])) <= 21
            except ProviderError as error:
                problems.append(str(error))
        assert problems
        assert all(exchange in problem and len(problem) < 400 for problem in problems)
        config = ExchangesConfig(exchanges=(exchange,), min_quote_volume_24h=0)
        for _ in range(rounds(5, 200)):
            proxy.alter = altered(rng)
            found = fetch_exchange_markets(config, ResolutionRules(), lambda _: client.markets(), None, 0.0)
            assert found.problems or set(found.table["exchange"]) == {exchange}
