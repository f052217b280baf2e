"""The refresh policy: how often each dataset is requested, with defaults that users can change in a TOML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field, create_model

from quant_assets.common.toml_config import load_config
from quant_assets.derivatives.dataset_spec import MAX_CADENCE_MINUTES, MIN_CADENCE_MINUTES
from quant_assets.derivatives.datasets import ENTRIES, Dataset

Minutes = Annotated[float, Field(ge=MIN_CADENCE_MINUTES, le=MAX_CADENCE_MINUTES)]


class PolicyError(ValueError):
    """An invalid policy file; the message names the file, the key and what is wrong."""


#: The keys of the file that follow from the registry: `<name>_minutes`.
_MINUTES_BY_KEY: Final[dict[str, Any]] = {f"{spec.name}_minutes": (Minutes, spec.cadence_minutes) for spec in ENTRIES}
_Cadences: Any = create_model("_Cadences", __config__=ConfigDict(frozen=True, extra="forbid"), **_MINUTES_BY_KEY)


class RefreshPolicy(_Cadences):  # type: ignore[misc]
    """Cadences in minutes of data time, and the age from which an item comes before all other known items.

    If the budget is too small for the cadences, ages grow in proportion to them. Open interest, which scores up to
    twenty points, is refreshed more often by its weight.
    """

    oldest_minutes: Minutes = 105
    open_interest_weight: float = Field(default=1.25, ge=1, le=100)

    def cadence_seconds(self, dataset: Dataset) -> float:
        """Return the cadence of a dataset in seconds."""
        minutes: float = getattr(self, f"{dataset}_minutes")
        return minutes * 60


def load_policy(path: Path) -> RefreshPolicy:
    """Read a TOML file whose keys are the fields of RefreshPolicy. Return the defaults if there is no file.

    Raise PolicyError if the file cannot be read, is not TOML, or has an unknown key or invalid value.
    """
    return load_config(path, RefreshPolicy, PolicyError)
