"""The calls of one request, from the moment they are acquired until its response is here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from quant_assets.providers.base import SymbolFilter, Usage
from quant_assets.providers.budget import CallBudget
from quant_assets.providers.errors import BudgetUnusable, ProviderUnavailable


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
    Raises DeadlineExceeded, BudgetUnusable, LeaseExpired, and what `still_needed` raises; the calls are returned then.
    """
    lease = budget.acquire(max(len(symbols), 1), deadline, on_wait)
    try:
        requested = tuple(symbols if still_needed is None else still_needed(symbols))
        is_needed = bool(requested) or not symbols
        if is_needed and len(requested) < len(symbols):
            budget.shrink(lease, len(requested))
        if is_needed and not budget.renew(lease):
            raise LeaseExpired("its calls expired before it was sent: the disk or this machine is too slow")
    except BaseException:
        with suppress(BudgetUnusable):  # then the lease ends by itself
            budget.release(lease)
        raise
    if not is_needed:
        budget.release(lease)
        yield ()
        return
    usage.requests += 1
    usage.calls += max(len(requested), 1)
    try:
        yield requested
    finally:
        budget.commit(lease)
