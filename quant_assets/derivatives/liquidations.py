"""Sums of a market's liquidations over the last hour and the last 24 hours."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from quant_assets.common.windows import Window
from quant_assets.derivatives.bar_times import NEEDED_HISTORY, needed_since, opened_before
from quant_assets.derivatives.dataset_spec import CLOSED_AT, DatasetSpec, Values

if TYPE_CHECKING:
    from quant_assets.derivatives.store import DerivativesStore

HOUR: Final = 3600


def read_liquidations(spec: DatasetSpec, store: DerivativesStore, symbols: list[str], window: Window) -> Values:
    """Return the sums of the liquidations up to the time through which they are known.

    The provider has bars only for times with liquidations. So a symbol without bars has sums of 0 if it was in any
    response, and none if it was missing in all of them.
    """
    through = store.known_through(spec.name, symbols, needed_since(window))
    served = store.served_symbols(spec.name)
    day_seconds = int(NEEDED_HISTORY.total_seconds())
    earliest = min([window.end_seconds, *through.values()]) - day_seconds
    rows = store.bars(spec.name, symbols, earliest, opened_before(window))
    bars: dict[str, list[tuple[float, ...]]] = {
        str(symbol): [row[1:] for row in group] for symbol, group in groupby(rows, key=itemgetter(0))
    }
    values = {}
    for symbol in symbols:
        if symbol not in served or symbol not in through:
            continue
        end = min(through[symbol], window.end_seconds)
        sums = dict.fromkeys((value.name for value in spec.values), 0.0)
        for time, longs, shorts in bars.get(symbol, ()):
            if end - day_seconds <= time < end:
                sums["longs_24h"] += longs
                sums["shorts_24h"] += shorts
            if end - HOUR <= time < end:
                sums["longs_1h"] += longs
                sums["shorts_1h"] += shorts
        values[symbol] = {CLOSED_AT: float(end * 1000), **sums}
    return values
