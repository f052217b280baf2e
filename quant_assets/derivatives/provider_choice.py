"""Which provider serves each dataset: what its entry says, or the user's data/providers.toml."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, create_model

from quant_assets.common.toml_config import load_config
from quant_assets.derivatives.datasets import ENTRIES, Dataset, DatasetSpec
from quant_assets.providers.registry import PROVIDERS

ProviderChoice = Mapping[Dataset, str]
"""Dataset → name of the provider that serves it."""


class ProviderChoiceError(ValueError):
    """An invalid data/providers.toml; the message names the file, the key and what is wrong."""


def _validator_of(spec: DatasetSpec) -> Callable[[str], str]:
    def validate(name: str) -> str:
        if name not in PROVIDERS:
            raise ValueError(f"unknown provider {name!r}; known are {', '.join(PROVIDERS)}")
        if problem := PROVIDERS[name].find_problem(spec):
            raise ValueError(f"{name} cannot serve it: {spec.name} {problem}")
        return name

    return validate


_FIELDS: Final[dict[str, Any]] = {
    spec.name: (Annotated[str, AfterValidator(_validator_of(spec))], spec.provider) for spec in ENTRIES
}
_Choice: Final[type[BaseModel]] = create_model("_Choice", __config__=ConfigDict(frozen=True, extra="forbid"), **_FIELDS)
DEFAULT_CHOICE: Final[ProviderChoice] = {spec.name: spec.provider for spec in ENTRIES}


def load_provider_choice(path: Path) -> ProviderChoice:
    """Read a TOML file of lines `dataset = "provider"`; a missing line or file leaves what the entry says.

    Raise ProviderChoiceError if the file cannot be read, is not TOML, or names an unknown dataset or provider, or a
    provider that cannot serve the dataset.
    """
    return load_config(path, _Choice, ProviderChoiceError).model_dump()


def datasets_by_provider(choice: ProviderChoice) -> dict[str, list[Dataset]]:
    """Return name of each provider in use → its datasets, in the order of the registry."""
    found: dict[str, list[Dataset]] = {}
    for spec in ENTRIES:
        found.setdefault(choice[spec.name], []).append(spec.name)
    return found
