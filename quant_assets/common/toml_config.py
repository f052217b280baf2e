"""Users' TOML files that change defaults, validated by pydantic models."""

from __future__ import annotations

import os
import tomllib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from quant_assets.common.files import UserFileWarning

Model = TypeVar("Model", bound=BaseModel)


class RenamedKeyWarning(UserFileWarning):
    """A file uses the old name of a key; the message names the file, the old name and the new one."""


@dataclass(frozen=True, slots=True)
class RenamedFrom:
    """Mark a model's field that had another name in the previous version: `Annotated[float, RenamedFrom("old")]`."""

    key: str


def load_config(path: Path, model: type[Model], error: type[ValueError]) -> Model:
    """Read a TOML file whose keys are the fields of `model`; return the defaults if the file does not exist.

    Raises `error` as `read_config` and `validate_config` do.
    """
    if not os.path.lexists(path):  # a broken symbolic link is an error, not a missing file
        return model()
    return validate_config(read_config(path, error), path, model, error)


def read_config(path: Path, error: type[ValueError]) -> dict[str, Any]:
    """Return the content of a TOML file. Raises `error` if the file cannot be read or is not TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise error(f"{path} cannot be read as TOML: nested too deeply") from None
    except (OSError, ValueError) as problem:  # tomllib raises ValueError for a whole number of too many digits
        raise error(f"{path} cannot be read as TOML: {problem}") from None


def validate_config(content: Mapping[str, Any], path: Path, model: type[Model], error: type[ValueError]) -> Model:
    """Return the model of a file's content. `path` is for messages.

    A field marked with RenamedFrom is also read under its old name, with a RenamedKeyWarning.
    Raises `error` if a key is unknown, a value is invalid, or the old and the new name of a key are both set.
    """
    try:
        return model.model_validate(_rename_old_keys(content, model, path, error))
    except ValidationError as problem:
        faults = problem.errors(include_url=False)
        raise error(f"{path}: {'; '.join(_describe_fault(fault, model) for fault in faults)}") from None


def _rename_old_keys(
    given: Mapping[str, Any], model: type[BaseModel], path: Path, error: type[ValueError], table: str = ""
) -> dict[str, Any]:
    """Return the content of a file with old names of keys replaced by new ones, also in its tables."""
    renamed = dict(given)
    for name, field in _fields(model).items():
        for old in (mark.key for mark in field.metadata if isinstance(mark, RenamedFrom) and mark.key in given):
            if name in renamed:
                raise error(f"{path}: {table}{old} is the old name of {table}{name}, which is set too: remove {old}")
            warnings.warn(
                f"{path}: {table}{old} is now called {name}: rename it, the next version will not read {old}",
                RenamedKeyWarning,
                stacklevel=3,
            )
            renamed[name] = renamed.pop(old)
        if isinstance(renamed.get(name), dict) and (inner := _model_of(field)):
            renamed[name] = _rename_old_keys(renamed[name], inner, path, error, f"{table}{name}.")
    return renamed


def _describe_fault(fault: ErrorDetails, model: type[BaseModel]) -> str:
    key = ".".join(map(str, fault["loc"]))
    if fault["type"] == "extra_forbidden":
        return f"{key}: unknown key; known are {', '.join(_known_keys(fault['loc'], model))}"
    return f"{key}: {fault['msg'].removeprefix('Value error, ')}"


def _known_keys(location: tuple[int | str, ...], model: type[BaseModel]) -> list[str]:
    """Return the known keys of the table that has an unknown key."""
    fields = _fields(model)
    for key in location[:-1]:
        inner = _model_of(fields[str(key)]) if key in fields else None
        if inner is None:
            break
        fields = _fields(inner)
    return list(fields)


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _model_of(field: FieldInfo) -> type[BaseModel] | None:
    """Return the model of a field that is a table, None for any other field."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None
