"""Ask an exchange for one market after another, so that one at fault costs only itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

from quant_assets.providers.exchanges.errors import (
    ExchangeError,
    MalformedBody,
    RequestFailed,
    RequestRefused,
    UnknownMarket,
)
from quant_assets.providers.exchanges.market import ExchangeMarket

#: After so many markets in a row whose requests failed, the exchange is asked for no other market.
MAX_FAILURES_IN_A_ROW: Final = 3
Result = TypeVar("Result")


def ask_by_market(
    markets: Iterable[ExchangeMarket], ask: Callable[[ExchangeMarket], Result]
) -> Iterator[tuple[ExchangeMarket, Result]]:
    """Yield each market and what `ask` returns for it, without those that the exchange does not know or refuses.

    A market whose request fails is left out too: the first such error is raised at the end, or that of the last of
    MAX_FAILURES_IN_A_ROW at once.
    """
    failure: ExchangeError | None = None
    failures_in_a_row = 0
    for market in markets:
        try:
            result = ask(market)
        except (UnknownMarket, RequestRefused):
            failures_in_a_row = 0  # the exchange responds
        except (RequestFailed, MalformedBody) as error:
            failure = failure or error
            failures_in_a_row += 1
            if failures_in_a_row == MAX_FAILURES_IN_A_ROW:
                raise
        else:
            failures_in_a_row = 0
            yield market, result
    if failure is not None:
        raise failure
