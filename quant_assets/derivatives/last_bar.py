"""Values of datasets of which the last bar is all that matters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quant_assets.common.windows import Window
from quant_assets.derivatives.bar_times import closed_ms, opened_before
from quant_assets.derivatives.dataset_spec import CLOSED_AT, DatasetSpec, Reader, Values

if TYPE_CHECKING:
    from quant_assets.derivatives.store import DerivativesStore


def last_bar(**columns: str) -> Reader:
    """Return a function that reads each symbol's last bar; `columns` are value column → stored column."""

    def read(spec: DatasetSpec, store: DerivativesStore, symbols: list[str], window: Window) -> Values:
        found = {}
        for symbol, opened, *stored in store.last_bars(spec.name, symbols, opened_before(window)):
            bar = dict(zip(spec.columns, stored, strict=True))
            found[str(symbol)] = {
                CLOSED_AT: closed_ms(opened),
                **{value: bar[column] for value, column in columns.items()},
            }
        return found

    return read
