"""What an entry of the dataset registry says: everything that is known of one derivative dataset.

Packages that add a dataset import from here and from `last_bar`. docs/datasets.md shows how.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import pandas as pd

from quant_assets.common.windows import Window
from quant_assets.markets.candidates import Candidate
from quant_assets.providers.registry import DEFAULT, PROVIDERS

if TYPE_CHECKING:
    from quant_assets.derivatives.exchange_values import OwnSnapshots
    from quant_assets.derivatives.store import DerivativesStore

#: Begins the columns of the features table that hold the values of datasets without fields of their own.
EXTRA_PREFIX: Final = "extra_"
CLOSED_AT: Final = "closed_at_ms"
#: Columns that every table of a window has.
SOURCE_COLUMNS: Final = (
    *("exchange", "symbol", "coinalyze_symbol", "provider", "source_exchange", "status", "unit", "simulated"),
    CLOSED_AT,
)
MIN_CADENCE_MINUTES: Final = 15
#: A year. A longer cadence is a typing error.
MAX_CADENCE_MINUTES: Final = 525_600

Values = Mapping[str, Mapping[str, float]]
"""Symbol of the provider → value column → its value; `closed_at_ms` is the close of the newest bar used, epoch ms."""
Reader = Callable[["DatasetSpec", "DerivativesStore", list[str], Window], Values]
"""Computes a dataset's values of some symbols from stored bars that had closed by the window's end."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_DTYPES = ("float64", "int64")
#: Names of assets, of the store's other tables, and of keys of refresh.toml.
_TAKEN: Final = frozenset(
    {
        *("candles", "candle_files", "candle_features", "exchange_markets", "exchange_candles"),
        *("symbol_map", "watchlist", "derivatives", "features", "signals", "master_feed", "alerts", "trades"),
        *("track_record", "disk_use", "asked", "empty", "seen", "claims", "refreshes", "facts", "selected", "oldest"),
        *(f"{provider}_markets" for provider in PROVIDERS),
        *("fetched_ranges", "empty_responses", "served_symbols", "metadata", "budget", "bars", "newest"),
    }
)


@dataclass(frozen=True, slots=True)
class Value:
    """A column of a window's table that holds a value of the dataset.

    Attributes:
        name: the column.
        description: what Dagster shows.
        dtype: float64; int64 for a count, which is 0 where nothing is known; str for a text, which is empty then, in
            a dataset with fields of its own.
        unit: the unit that the page shows, such as "%"; empty for a plain number, or an amount of the dataset's unit.
        neutral: what strategies read where the value is unknown.
    """

    name: str
    description: str
    dtype: str = "float64"
    unit: str = ""
    neutral: float | None = None


def _published_everywhere(_: Candidate) -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSpec:
    """The entry of a dataset. Everything from fetching it to showing it follows from here.

    Attributes:
        name: its key: asset, table in the store, columns of the symbol map, `<name>_minutes` in data/refresh.toml.
        label: its name on the page.
        description: one sentence on its table, for Dagster and the documentation.
        endpoint: what its provider calls it; for Coinalyze a history endpoint of the API.
        provider: the provider that serves it, unless data/providers.toml names another.
        columns: the columns of a stored bar, in the order of the endpoint's fields.
        values: the value columns of a window's table; the first is what the page shows.
        read: computes them from the store.
        cadence_minutes: how often it is requested, in minutes of data time, unless data/refresh.toml says otherwise.
        has_unit: whether its values are amounts in the unit of the source market (BASE_ASSET or QUOTE_ASSET).
        is_sparse: whether the provider has bars only for times at which something happened.
        is_published: whether the provider has it for a market of its list.
        complete: adds value columns that follow from a table's other columns.
        own_values: puts what the markets' own exchanges say into a window's table: the table, the snapshots by market,
            the window → the table.
        chart: series of the open row's chart → stored column; empty for no chart.
        colour: its colour in the chart of `plan --plot`, and in the open row.
        feed: key in the feed's `derivatives` block → column of the window's table; None for `value` (the first value),
            the other values under their own names, and `unit` if it has one; empty for no block.
        features: column of the window's table → field of `DerivativeInputs`. Empty for datasets without fields of
            their own; strategies find their values in `Features.extra`.
    """

    name: str
    label: str
    description: str
    endpoint: str
    columns: tuple[str, ...]
    values: tuple[Value, ...]
    read: Reader
    cadence_minutes: float = 60
    provider: str = DEFAULT.name
    has_unit: bool = False
    is_sparse: bool = False
    is_published: Callable[[Candidate], bool] = _published_everywhere
    complete: Callable[[pd.DataFrame], pd.DataFrame] | None = None
    own_values: Callable[[pd.DataFrame, OwnSnapshots, Window], pd.DataFrame] | None = None
    chart: Mapping[str, str] = field(default_factory=dict)
    colour: str = "#5f6b7a"
    feed: Mapping[str, str] | None = None
    features: Mapping[str, str] = field(default_factory=dict)

    @property
    def inputs(self) -> Mapping[str, str]:
        """Return column of the window's table → derivative input that it fills."""
        if self.features:
            return self.features
        names = {value.name: f"{EXTRA_PREFIX}{value.name}" for value in self.values}
        own = f"{EXTRA_PREFIX}{self.name}"
        unit = {"unit": f"{own}_unit"} if self.has_unit else {}
        return {CLOSED_AT: f"{own}_{CLOSED_AT}", **names, **unit, "provider": f"{own}_provider"}

    @property
    def age_column(self) -> str:
        """Return the column of the features table that holds the age of the values, in seconds."""
        return f"{self.inputs[CLOSED_AT].removesuffix(CLOSED_AT)}age_seconds"

    @property
    def feed_keys(self) -> Mapping[str, str]:
        """Return key in the feed's block → column of the window's table."""
        if self.feed is not None:
            return self.feed
        first, *others = self.values
        unit = {"unit": "unit"} if self.has_unit else {}
        return {"value": first.name, **{value.name: value.name for value in others}, **unit}


def find_problem(spec: object) -> str:
    """Return why an object is not a valid entry; empty if it is valid."""
    if not isinstance(spec, DatasetSpec):
        return f"is not a DatasetSpec but {type(spec).__name__}"
    if not _is_name(spec.name) or spec.name in _TAKEN:
        return f"has an invalid name {spec.name!r}: expected lower-case letters, digits and underscores, and not taken"
    if not all(isinstance(text, str) and text for text in (spec.label, spec.description, spec.colour)):
        return "has an invalid label, description or colour: expected non-empty texts"
    if spec.provider not in PROVIDERS:
        return f"has an unknown provider {spec.provider!r}: expected one of {', '.join(PROVIDERS)}"
    if not isinstance(spec.cadence_minutes, int | float) or not (
        MIN_CADENCE_MINUTES <= spec.cadence_minutes <= MAX_CADENCE_MINUTES
    ):
        return f"has an invalid cadence_minutes {spec.cadence_minutes!r}: expected 15 minutes to a year"
    spec.is_published(_SAMPLE)  # an error of it is the entry's problem, not that of every market
    return _columns_problem(spec) or _mappings_problem(spec) or PROVIDERS[spec.provider].find_problem(spec)


def _columns_problem(spec: DatasetSpec) -> str:
    """Return what is wrong with the columns of bars and values; empty if nothing is."""
    stored = spec.columns
    if not isinstance(stored, tuple) or not _are_names(stored) or {"symbol", "t"}.intersection(stored):
        return f"has invalid columns {stored!r}: expected a tuple of distinct names like close, without symbol and t"
    values = spec.values
    if not isinstance(values, tuple) or not values or not all(isinstance(value, Value) for value in values):
        return "has invalid values: expected a tuple of at least one Value"
    names = tuple(value.name for value in values)
    if not _are_names(names) or set(SOURCE_COLUMNS).intersection(names):
        return f"has invalid values {names!r}: expected distinct names that no table of a window has already"
    if not all(value.dtype in _DTYPES and value.description for value in values):  # no texts: extras are numbers
        return f"has invalid values: each needs a description, and a dtype of {' or '.join(_DTYPES)}"
    return "" if callable(spec.read) else "has a read that is no function"


def _mappings_problem(spec: DatasetSpec) -> str:
    """Return what is wrong with the chart, the feed's keys and the features; empty if nothing is."""
    table = {*SOURCE_COLUMNS, *(value.name for value in spec.values)}
    for name, mapping, columns_first, known in (
        ("chart", spec.chart, False, set(spec.columns)),
        ("feed", spec.feed_keys, False, table),
        ("features", spec.features, True, table),
    ):
        if not isinstance(mapping, Mapping) or not all(isinstance(text, str) for text in (*mapping, *mapping.values())):
            return f"has an invalid {name}: expected a mapping of names to names"
        unknown = set(mapping if columns_first else mapping.values()) - known
        if unknown:
            return f"has an invalid {name}: {', '.join(sorted(unknown))} is not a column of the dataset"
    return ""


_SAMPLE: Final = Candidate(
    *("BTCUSDT_PERP.A", "A", "Binance", "binance", "BTCUSDT", "BTC"),
    multiplier=1,
    quote="USDT",
    stable=True,
    unit="BASE_ASSET",
    has_long_short_ratio=True,
    has_liquidations=True,
)


def _is_name(name: object) -> bool:
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def _are_names(names: tuple[object, ...]) -> bool:
    return bool(names) and all(map(_is_name, names)) and len(set(names)) == len(names)
