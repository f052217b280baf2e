"""The parameters of the record and of the trades: which trades are shown."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import numpy as np
import pandas as pd
from pydantic import BeforeValidator, Field

from quant_assets.dashboard.query import Parameters, Texts, items, lower, none_if_blank, upper
from quant_assets.evaluation import Outcome, Source
from quant_assets.evaluation.statistics import DAY_MS

MAX_TRADES: Final = 100_000
DEFAULT_TRADES: Final = 1_000

TradeSide = Annotated[Literal["LONG", "SHORT"], BeforeValidator(upper)]
TradeSource = Annotated[Literal["published", "late"], BeforeValidator(lower)]
TradeOutcome = Annotated[Outcome, BeforeValidator(lower)]


class RecordParameters(Parameters):
    """The filters of the record; an empty filter takes all trades."""

    strategy: Texts = Field(default=(), description="Names of strategies, separated by commas; case does not matter.")
    exchange: Texts = Field(default=(), description="Exchanges, separated by commas; case does not matter.")
    side: Annotated[tuple[TradeSide, ...], BeforeValidator(items)] = Field(
        default=(), description="LONG or SHORT, separated by commas."
    )
    days: Annotated[int | None, BeforeValidator(none_if_blank)] = Field(
        default=None,
        ge=1,
        le=36_500,
        description="Trades entered in so many days before the newest one; all if left out.",
    )
    source: TradeSource = Field(
        default="published",
        description="published: the feed came within 15 minutes of its window's end; late: it came later.",
    )

    def select(self, trades: pd.DataFrame) -> pd.DataFrame:
        """Return the trades that pass every filter."""
        kept = np.ones(len(trades), dtype=bool)
        for column, names in (("strategy", self.strategy), ("exchange", self.exchange), ("side", self.side)):
            if names:
                kept &= _is_one_of(trades[column], names)
        kept &= (trades["source"] == Source(self.source)).to_numpy(bool)
        if self.days is not None and len(trades):
            kept &= (trades["entry_ms"] > trades["entry_ms"].max() - self.days * DAY_MS).to_numpy(bool)
        return trades[kept]


class TradeParameters(RecordParameters):
    """The filters of the list of trades."""

    symbol: str = Field(default="", description="Text that the symbol contains; case does not matter.")
    outcome: Annotated[tuple[TradeOutcome, ...], BeforeValidator(items)] = Field(
        default=(), description=f"{', '.join(outcome.value for outcome in Outcome)}, separated by commas."
    )
    limit: Annotated[int, BeforeValidator(lambda value: none_if_blank(value) or DEFAULT_TRADES)] = Field(
        default=DEFAULT_TRADES, ge=1, le=MAX_TRADES, description="Maximum number of trades, newest first."
    )

    def select(self, trades: pd.DataFrame) -> pd.DataFrame:
        """Return the trades that pass every filter."""
        found = super().select(trades)
        if self.symbol:
            categories = found["symbol"].cat.categories
            chosen = [name for name in categories if self.symbol.casefold() in str(name).casefold()]
            found = found[found["symbol"].isin(chosen)]
        return found[found["outcome"].isin(self.outcome)] if self.outcome else found


def _is_one_of(column: pd.Series[str], names: tuple[str, ...]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return where a column of categories has one of these names, ignoring case."""
    folded = {name.casefold() for name in names}
    return column.isin([name for name in column.cat.categories if str(name).casefold() in folded]).to_numpy(bool)
