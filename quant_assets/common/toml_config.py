"""The small TOML files by which a user changes defaults."""

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

Model = TypeVar("Model", bound=BaseModel)


class RenamedKeyWarning(FutureWarning):
    """A file uses the old name of a key; the message names the file, the old name and the new one."""


@dataclass(frozen=True, slots=True)
class RenamedFrom:
    """Mark a model's field that had another name in the previous version: `Annotated[float, RenamedFrom("old")]`."""

    key: str


def read_toml(text: str) -> dict[str, Any]:
    """Read TOML; raises TOMLDecodeError also for what tomllib itself does not name so."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError:
        raise tomllib.TOMLDecodeError("nested too deeply") from None
    except ValueError as error:  # of a whole number with more digits than Python reads
        raise tomllib.TOMLDecodeError(str(error)) from None


def load_config(path: Path, model: type[Model], error: type[ValueError]) -> Model:
    """Read a TOML file whose keys are the model's fields; the model's defaults where there is no file.

    A field marked with RenamedFrom is also read under its old name, with a RenamedKeyWarning.
    Raises `error` for a file that cannot be read, is no TOML, holds an unknown or impossible value, or has the same
    setting under its old and its new name.
    """
    if not os.path.lexists(path):  # a link that leads nowhere is there: a mistake, and said
        return model()
    try:
        given = read_toml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        raise error(f"{path} cannot be read as TOML: {problem}") from None
    try:
        return model.model_validate(_rename_old_keys(given, model, path, error))
    except ValidationError as problem:
        first = problem.errors(include_url=False)[0]
        known = ", ".join(_fields_beside(first["loc"], model))
        what = f"there is no such key; known are {known}" if first["type"] == "extra_forbidden" else first["msg"]
        raise error(f"{path}: {'.'.join(map(str, first['loc']))}: {what}") from None


def _rename_old_keys(
    given: Mapping[str, Any], model: type[BaseModel], path: Path, error: type[ValueError], table: str = ""
) -> dict[str, Any]:
    """Return the content of a file with old names of keys replaced by the new ones, in all of its tables."""
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


def _fields_beside(place: tuple[int | str, ...], model: type[BaseModel]) -> list[str]:
    """Return the fields of the innermost model that a place in a file lies in."""
    fields = _fields(model)
    for key in place[:-1]:
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
