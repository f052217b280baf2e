"""The small TOML files by which a user changes defaults."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

Model = TypeVar("Model", bound=BaseModel)


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

    Raises `error` for a file that cannot be read, is no TOML, or holds an unknown or impossible value.
    """
    if not os.path.lexists(path):  # a link that leads nowhere is there: a mistake, and said
        return model()
    try:
        return model.model_validate(read_toml(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        raise error(f"{path} cannot be read as TOML: {problem}") from None
    except ValidationError as problem:
        first = problem.errors(include_url=False)[0]
        known = ", ".join(_fields_beside(first["loc"], model))
        what = f"there is no such key; known are {known}" if first["type"] == "extra_forbidden" else first["msg"]
        raise error(f"{path}: {'.'.join(map(str, first['loc']))}: {what}") from None


def _fields_beside(place: tuple[int | str, ...], model: type[BaseModel]) -> list[str]:
    """Return the fields of the innermost model that a place in a file lies in."""
    fields = _fields(model)
    for key in place[:-1]:
        inner = fields[str(key)].annotation if key in fields else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            break
        fields = _fields(inner)
    return list(fields)


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in model.model_fields.items()}
