"""The calls of one request, from the moment they are acquired until its response is here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from quant_assets.providers.base import SymbolFilter, Usage
from quant_assets.providers.budget import CallBudget
from quant_assets.providers.errors import ProviderUnavailable


class LeaseExpired(ProviderUnavailable):
    """The calls were acquired too long ago to be used. Nothing was sent."""


@contextmanager
def reserve_calls(
    budget: CallBudget,
    usage: Usage,
    symbols: Sequence[str],
    *,
    deadline: float | None = None,
    still_needed: SymbolFilter | None = None,
    on_wait: Callable[[float], None] | None = None,
) -> Iterator[tuple[str, ...]]:
    """Reserve a call for each symbol, or one call if `symbols` is empty, and yield the symbols to request.

    Send one request inside of the `with` block, for these symbols only. If `symbols` were given and none is yielded,
    send nothing. `usage` counts the request. The other arguments are those of `ProviderClient.bars`.
    Raises DeadlineExceeded, BudgetUnusable and LeaseExpired.
    """
    lease = budget.acquire(max(len(symbols), 1), deadline, on_wait)
    requested = tuple(symbols if still_needed is None else still_needed(symbols))
    if symbols and not requested:
        budget.release(lease)
        yield ()
        return
    if len(requested) < len(symbols):
        budget.shrink(lease, len(requested))
    if not budget.renew(lease):
        raise LeaseExpired("its calls expired before it was sent: the disk or this machine is too slow")
    usage.requests += 1
    usage.calls += max(len(requested), 1)
    try:
        yield requested
    finally:
        budget.commit(lease)
