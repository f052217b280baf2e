"""Connections to exchanges, with the budget that all processes of the machine share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

from quant_assets.candles.exchanges.config import ExchangesConfigError
from quant_assets.common.clock import SYSTEM, Clock
from quant_assets.common.settings import VARIABLES, Settings
from quant_assets.providers.budget import CallBudget
from quant_assets.providers.exchanges.catalogue import EXCHANGE_APIS, unknown_exchange

if TYPE_CHECKING:
    from quant_assets.providers.exchanges.client import ExchangeClient

#: The share of an exchange's documented limit that is used. Other programs at the same address have the rest.
USED_SHARE: Final = 0.8
CONNECTIONS: Final = 3


def check_exchange_urls(settings: Settings) -> None:
    """Raise ExchangesConfigError if QUANT_EXCHANGE_URLS names an exchange that is not known."""
    unknown = sorted(set(settings.exchange_urls) - set(EXCHANGE_APIS))
    if unknown:
        raise ExchangesConfigError(f"{VARIABLES['exchange_urls']}: {unknown_exchange(unknown[0])}")


@contextmanager
def connected(
    settings: Settings,
    exchange: str,
    count: int = CONNECTIONS,
    *,
    clock: Clock = SYSTEM,
) -> Iterator[list[ExchangeClient]]:
    """Yield `count` connections to an exchange, one for each thread, and close them. Raise BudgetUnusable."""
    # ccxt takes half a second to import, which only those pay who fetch.
    from quant_assets.providers.exchanges.client import ExchangeClient  # noqa: PLC0415

    api = EXCHANGE_APIS[exchange]
    address = settings.exchange_urls.get(exchange)
    limit = max(int(api.limit * USED_SHARE), 1)
    with ExitStack() as stack:
        budget = CallBudget(
            settings.exchange_budget_path(exchange),
            limit,
            period_seconds=api.period_seconds,
            clock=clock.monotonic,
            sleep=clock.sleep,
        )
        stack.callback(budget.close)
        clients = [ExchangeClient(api, budget, address, clock=clock.seconds, sleep=clock.sleep) for _ in range(count)]
        for client in clients:
            stack.callback(client.close)
        yield clients
