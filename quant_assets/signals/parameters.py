"""Strategy parameters from a user's TOML file.

    [legacy]
    threshold = 65

Each strategy declares the limits of its parameters.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model

from quant_assets.common.toml_config import RenamedFrom, read_config, validate_config
from quant_assets.signals.registry import discover_strategies
from quant_assets.signals.strategy import Limits, Strategy

COMMON_LIMITS: Limits = {"min_stop_pct": (0.0, 100.0)}
"""Limits of the parameters that every strategy has."""
_PARAMETER_TYPES = (bool, int, float, str)
_STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
AnyStrategy = TypeVar("AnyStrategy", bound=Strategy)


class ParametersError(ValueError):
    """An invalid file of parameters; the message names the file, the key and what is wrong with it."""


def parameters_of(strategy: Strategy) -> dict[str, Any]:
    """Return the parameters of a strategy and their values: the dataclass fields that hold a number or a text."""
    if not dataclasses.is_dataclass(strategy):
        return {}
    values = {field.name: getattr(strategy, field.name) for field in dataclasses.fields(strategy) if field.init}
    return {name: value for name, value in values.items() if isinstance(value, _PARAMETER_TYPES)}


def parameter_descriptions(strategy: Strategy) -> dict[str, str]:
    """Return the texts of the parameters that are annotated with one: `Annotated[float, "text"]`."""
    try:
        hints = get_type_hints(type(strategy), include_extras=True)
    except NameError:  # annotations of a plugin that exist for type checkers only
        return {}
    marks = {name: hints[name].__metadata__ for name in parameters_of(strategy) if get_origin(hints[name]) is Annotated}
    return {name: texts[0] for name, texts in marks.items() if isinstance(texts[0], str)}


def strategies_in_force(path: Path, folder: Path | None = None) -> tuple[Strategy, ...]:
    """Return all strategies, those of the user's folder too, with the parameters of the file.

    Raises ParametersError for an invalid file.
    """
    return with_parameters(discover_strategies(folder).strategies, path)


def with_parameters(strategies: Iterable[AnyStrategy], path: Path) -> tuple[AnyStrategy, ...]:
    """Return the strategies with the parameters of the file, which has one table per strategy, named by its key.

    A parameter that the file does not set keeps its value; a missing file changes nothing. Raises ParametersError for
    a file that cannot be read, is not TOML, names an unknown strategy or parameter, or has an invalid value.
    """
    chosen = tuple(strategies)
    if not os.path.lexists(path):
        return chosen  # building the models takes longer than all the rest
    return with_values(chosen, read_config(path, ParametersError), path)


def with_values(strategies: Iterable[AnyStrategy], values: Mapping[str, Any], where: Path) -> tuple[AnyStrategy, ...]:
    """Return the strategies with other values of parameters: strategy's key → parameter → value.

    `where` is the origin of the values, for messages. Raises ParametersError as `with_parameters` does.
    """
    chosen = tuple(strategies)
    tables = _model("Parameters", {strategy.key: (_table_model(strategy), None) for strategy in chosen})
    given = dict(validate_config(values, where, tables, ParametersError))
    return tuple(
        _replaced(strategy, table, where) if table is not None else strategy
        for strategy, table in zip(chosen, given.values(), strict=True)
    )


def _table_model(strategy: Strategy) -> type[BaseModel]:
    fields = {}
    old_names = {new: old for old, new in strategy.renamed_parameters.items()}
    for name, value in parameters_of(strategy).items():
        minimum, maximum = {**COMMON_LIMITS, **strategy.limits}.get(name, (None, None))
        kind: Any = Annotated[type(value), Field(ge=minimum, le=maximum)]
        if name in old_names:
            kind = Annotated[kind, RenamedFrom(old_names[name])]
        fields[name] = (kind, value)
    return _model(strategy.name, fields)


def _model(title: str, fields: Mapping[str, tuple[Any, Any]]) -> type[BaseModel]:
    """Return a model of these names, types and values; aliases allow names that pydantic reserves."""
    aliased: dict[str, Any] = {
        f"field_{number}": (kind, Field(value, alias=name))
        for number, (name, (kind, value)) in enumerate(fields.items())
    }
    return create_model(title, __config__=_STRICT, **aliased)


def _replaced(strategy: AnyStrategy, table: BaseModel, path: Path) -> AnyStrategy:
    try:
        changed = dataclasses.replace(strategy, **table.model_dump(by_alias=True))
    except ValueError as problem:
        raise ParametersError(f"{path}: {strategy.key}: {problem}") from None
    try:
        changed.explanations(), changed.gates()
    except Exception as problem:  # noqa: BLE001 - a plugin may raise anything
        message = f"{path}: {strategy.key}: these values cannot be explained: {type(problem).__name__}: {problem}"
        raise ParametersError(message) from None
    return changed
