"""Features of datasets without fields of their own: columns of the features table, and values of `Features.extra`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from quant_assets.derivatives.dataset_spec import EXTRA_PREFIX, DatasetSpec
from quant_assets.derivatives.datasets import ENTRIES


@dataclass(frozen=True, slots=True)
class ExtraColumn:
    """A column of the features table: its type and description, and the value in `Features.extra` if it is unknown."""

    kind: Any
    description: str
    neutral: float | str | None = None


def _extra_columns(spec: DatasetSpec) -> dict[str, ExtraColumn]:
    number = float | None
    found = {spec.inputs[value.name]: ExtraColumn(number, value.description, value.neutral) for value in spec.values}
    if spec.has_unit:
        found[spec.inputs["unit"]] = ExtraColumn(
            str, f"unit of {spec.name}: BASE_ASSET or QUOTE_ASSET; empty if none", ""
        )
    found[spec.inputs["provider"]] = ExtraColumn(str, f"provider of {spec.name}; empty if none", "")
    found[spec.age_column] = ExtraColumn(number, f"window's end minus the close of the last bar of {spec.name}")
    return found


EXTRA_ENTRIES: Final = tuple(spec for spec in ENTRIES if not spec.features)
EXTRA_COLUMNS: Final[Mapping[str, ExtraColumn]] = {
    name: column for spec in EXTRA_ENTRIES for name, column in _extra_columns(spec).items()
}
"""Column of the features table → what is known of it, in the order of the columns."""


def unknown_extra_inputs(markets: int) -> dict[str, Any]:
    """Return the derivative inputs of datasets without fields for a number of markets, all unknown."""
    return {
        name: np.full(markets, "", dtype=object) if column in {"unit", "provider"} else np.full(markets, np.nan)
        for spec in EXTRA_ENTRIES
        for column, name in spec.inputs.items()
    }


def extra_key(column: str) -> str:
    """Return the key in `Features.extra` of a column of the features table."""
    return column.removeprefix(EXTRA_PREFIX)
