"""The user's changes to strategies: values for their parameters, from a TOML file.

    [legacy]
    threshold = 65

Which values make sense, a strategy declares itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, create_model

from quant_assets.common.toml_config import RenamedFrom, load_config
from quant_assets.signals.strategy import Limits, Strategy

LIMITS_OF_ALL: Limits = {"min_stop_pct": (0.0, 100.0)}
"""Limits of the parameters that every strategy has."""
_FORMS = (bool, int, float, str)
_STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
Judge = TypeVar("Judge", bound=Strategy)


class ParametersError(ValueError):
    """A file of parameters that cannot be used; the message names the file, the key and what is wrong with it."""


def parameters_of(strategy: Strategy) -> dict[str, Any]:
    """Return the parameters of a strategy and their values: its dataclass's fields that hold a number or a text."""
    if not dataclasses.is_dataclass(strategy):
        return {}
    values = {field.name: getattr(strategy, field.name) for field in dataclasses.fields(strategy) if field.init}
    return {name: value for name, value in values.items() if isinstance(value, _FORMS)}


def with_parameters(strategies: Iterable[Judge], path: Path) -> tuple[Judge, ...]:
    """Return the strategies with the values that the file gives, in tables called like their keys.

    A parameter that is not named keeps its value, and without a file all do. Raises ParametersError for a file that
    cannot be read, is no TOML, names an unknown strategy or parameter, or has a value that a strategy refuses.
    """
    chosen = tuple(strategies)
    tables = _model("Parameters", {strategy.key: (_table_of(strategy), None) for strategy in chosen})
    given = dict(load_config(path, tables, ParametersError))
    return tuple(
        _changed(strategy, table, path) if table is not None else strategy
        for strategy, table in zip(chosen, given.values(), strict=True)
    )


def _table_of(strategy: Strategy) -> type[BaseModel]:
    fields = {}
    old_names = {new: old for old, new in strategy.renamed_parameters.items()}
    for name, value in parameters_of(strategy).items():
        least, most = {**LIMITS_OF_ALL, **strategy.limits}.get(name, (None, None))
        kind: Any = Annotated[type(value), Field(ge=least, le=most)]
        if name in old_names:
            kind = Annotated[kind, RenamedFrom(old_names[name])]
        fields[name] = (kind, value)
    return _model(strategy.name, fields)


def _model(title: str, fields: Mapping[str, tuple[Any, Any]]) -> type[BaseModel]:
    """Return a model of these names, types and values; the names may be ones that pydantic keeps for itself."""
    aliased: dict[str, Any] = {
        f"field_{place}": (kind, Field(value, alias=name)) for place, (name, (kind, value)) in enumerate(fields.items())
    }
    return create_model(title, __config__=_STRICT, **aliased)


def _changed(strategy: Judge, table: BaseModel, path: Path) -> Judge:
    try:
        return dataclasses.replace(strategy, **table.model_dump(by_alias=True))
    except ValueError as problem:
        raise ParametersError(f"{path}: {strategy.key}: {problem}") from None
