"""Fill the open interest of an exchange's markets with its own history, while their snapshots are too few.

A z-score needs 30 windows of one series. The history of an exchange continues its snapshots only if it is the same
quantity: at the newest moment that both have, or within half an hour, they must agree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from quant_assets.derivatives.exchange_values import WINDOW_MS
from quant_assets.derivatives.open_interest import Z_SCORE_POINTS
from quant_assets.derivatives.store import DerivativesStore, ExchangeSnapshot
from quant_assets.providers.exchanges.errors import RequestRefused, UnknownMarket
from quant_assets.providers.exchanges.market import ExchangeMarket

DAY_MS: Final = 24 * 60 * 60 * 1000
#: A market whose history was too short is asked for again after so long.
RETRY_MS: Final = 60 * 60 * 1000
#: A history differs by less from the snapshot at most 30 minutes later. One that counts both sides, or in another unit,
#: differs by a factor of 2 or more.
MAX_DIFFERENCE: Final = 0.3
MAX_DISTANCE_MS: Final = 30 * 60 * 1000
#: An exchange is not asked for more in a run if the histories of its first markets are none of the same quantity.
MAX_OTHERS: Final = 3


class HistoryClient(Protocol):
    """What filling a history needs of an exchange's client."""

    def open_interest_history(
        self, market: ExchangeMarket, start_ms: int, end_ms: int, *, deadline: float | None = None
    ) -> dict[int, float]:
        """Fetch open interest at quarter hours, as ExchangeClient does."""


def fill_history(
    exchange: str,
    client: HistoryClient,
    markets: Sequence[ExchangeMarket],
    store: DerivativesStore,
    now_ms: int,
    *,
    simulated: bool,
    deadline: float | None = None,
    is_interrupted: Callable[[], bool] = lambda: False,
) -> int:
    """Store the last day of open interest of the markets that lack it, in their order, and return their number.

    Each takes one request. Values that are stored are not replaced. A market that the exchange does not know any more
    costs only itself. Raise what the client and the store raise.
    """
    until_ms = now_ms // WINDOW_MS * WINDOW_MS
    after_ms = until_ms - DAY_MS
    known = store.own_interest(exchange, after_ms, now_ms, WINDOW_MS)
    filled = others = 0
    for market in markets:
        if is_interrupted() or (others >= MAX_OTHERS and not filled):
            break
        own = known.get(market.symbol)
        # Without any snapshot nothing tells whether the history is the same quantity.
        if own is None or own.windows >= Z_SCORE_POINTS or (own.history_asked_ms or 0) > now_ms - RETRY_MS:
            continue
        try:
            history = client.open_interest_history(market, after_ms + WINDOW_MS, until_ms, deadline=deadline)
        except (UnknownMarket, RequestRefused):
            continue
        snapshots = store.snapshots_of(exchange, market.symbol, after_ms, now_ms)
        if not is_same_quantity(history, snapshots):
            others += 1
        else:
            stored = {each.closed_at_ms for each in snapshots}
            store.add_snapshots(
                _snapshot(exchange, market.symbol, moment, value, now_ms, simulated=simulated)
                for moment, value in history.items()
                if moment not in stored
            )
            filled += 1
    return filled


def is_same_quantity(history: dict[int, float], snapshots: Sequence[ExchangeSnapshot]) -> bool:
    """Return whether a history agrees with the newest snapshot, at the nearest moment within half an hour."""
    known = [each for each in snapshots if each.open_interest is not None]
    if not history or not known:
        return False
    last = known[-1]
    nearest = min(history, key=lambda moment: abs(moment - last.closed_at_ms))
    if abs(nearest - last.closed_at_ms) > MAX_DISTANCE_MS:
        return False
    value = last.open_interest or 0.0
    return abs(history[nearest] - value) <= MAX_DIFFERENCE * max(value, history[nearest])


def _snapshot(
    exchange: str, symbol: str, moment_ms: int, value: float, now_ms: int, *, simulated: bool
) -> ExchangeSnapshot:
    return ExchangeSnapshot(
        exchange=exchange,
        symbol=symbol,
        closed_at_ms=moment_ms,
        observed_at_ms=now_ms,
        open_interest=value,
        funding_rate_pct=None,
        interval_hours=None,
        simulated=simulated,
    )
