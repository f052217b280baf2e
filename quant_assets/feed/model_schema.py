"""How the JSON Schema of a model is generated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from pydantic import ConfigDict, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

#: Only the keys of a model are allowed.
CLOSED: Final = ConfigDict(extra="forbid")


class SchemaWithoutFieldTitles(GenerateJsonSchema):
    """Leave out a field's title, which only repeats its name."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - overrides
        """Return False for every field."""
        return False


def json_schema(model: Any) -> dict[str, Any]:
    """Return the JSON Schema of a model."""
    return TypeAdapter(model).json_schema(schema_generator=SchemaWithoutFieldTitles)


def allow_other_keys(model: Any, *, or_null: bool = False) -> Callable[[dict[str, Any]], None]:
    """Return a `json_schema_extra` that allows keys besides those of a typed dictionary, with values of `model`.

    `model` must not refer to other models.
    """

    def extend(schema: dict[str, Any]) -> None:
        values = json_schema(model)
        schema["additionalProperties"] = {"anyOf": [values, {"type": "null"}]} if or_null else values

    return extend
