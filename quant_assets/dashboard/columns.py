"""The columns of the page's table: titles and order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: Sortable columns and their titles.
SORTS: Final[Mapping[str, str]] = {
    "action": "Action",
    "market": "Market",
    "strategy": "Strategy",
    "score": "Score",
    "rr": "R:R",
    "entry": "Entry",
    "stop": "Stop",
    "target": "Target",
    "record": "Record",
    "oi": "Open interest",
    "funding": "Funding",
    "ls": "L/S",
    "volume": "Volume",
    "change": "24 h",
    "price": "Price",
}
#: Tooltips of column titles that need an explanation.
SORT_TITLES: Final[Mapping[str, str]] = {
    "record": "mean result of signals like this, or how its own trade ended; sorted by the mean",
    "oi": "value, change over 24 hours, z-score, age; sorted by age",
    "funding": "rate and its interval; sorted by the absolute rate for 8 hours",
    "ls": "long accounts / short accounts",
    "volume": "24-hour volume in the quote currency",
    "change": "price change over 24 hours",
}
#: Columns that are sorted by another field than that of their name.
SORT_FIELDS: Final[Mapping[str, str]] = {"oi": "oi_age", "funding": "funding_size"}
#: Columns that the first click sorts in descending order.
DESCENDING: Final = frozenset(
    {"score", "rr", "entry", "stop", "target", "record", "funding", "ls", "volume", "change", "price"}
)
