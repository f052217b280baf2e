"""The parameters of a request: reading and checking them, and filtering a feed by them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from quant_assets.feed import has_symbol
from quant_assets.feed.selection import selection_stats
from quant_assets.feed.signal_model import Signal

Json = dict[str, Any]

#: Values that look like a file path: `..` as a step, a root with further steps, a drive, or a NUL.
_PATH_LIKE: Final = re.compile(
    r"(^|[/\\])\.\.([/\\]|$)|^[/\\][^/\\]*[/\\]|^~[^/\\]*[/\\]|^([a-z]:|file:)[/\\]|\x00", re.IGNORECASE
)
MAX_VALUE_LENGTH: Final = 200
#: Parameters that accept several values: separated by commas, or repeated.
_LISTS: Final = frozenset({"strategy", "exchange", "source", "action", "status", "fields", "side", "outcome"})
#: The keys that a signal may have, in the order of the feed's schema.
SIGNAL_KEYS: Final = tuple(Signal.__annotations__)


class QueryError(ValueError):
    """An invalid request; the message names the parameter and what is expected."""

    def __init__(self, message: str, status: int = 400, code: str = "bad_request") -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def items(value: object) -> object:
    """Split texts at commas: one text, or one for each time that the parameter is given."""
    texts = value if isinstance(value, list | tuple) else [value]
    return tuple(item.strip() for text in texts for item in str(text).split(",") if item.strip())


def upper(value: object) -> object:
    """Return a text in upper case."""
    return value.upper() if isinstance(value, str) else value


def lower(value: object) -> object:
    """Return a text in lower case."""
    return value.lower() if isinstance(value, str) else value


def none_if_blank(value: object) -> object:
    """Return None for a text of blanks."""
    return None if isinstance(value, str) and not value.strip() else value


Texts = Annotated[tuple[str, ...], BeforeValidator(items)]
Action = Annotated[Literal["LONG", "SHORT", "WAIT"], BeforeValidator(upper)]
Status = Annotated[Literal["resolved", "aggregated", "neutral"], BeforeValidator(lower)]


class Parameters(BaseModel):
    """The parameters of an address; others are rejected."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _reject_unknown(cls, values: Any) -> Any:
        names = list(cls.model_fields)
        expected = f"expected {', '.join(names)}" if names else "this address takes no parameters"
        for name in values:
            if name not in names:
                context = {"name": f"{name:.40}", "expected": expected}
                raise PydanticCustomError("unknown_parameter", "unknown parameter {name}: {expected}", context)
        return values


class NoParameters(Parameters):
    """No parameter is accepted."""


class WindowParameter(Parameters):
    """The window to show."""

    window: str = Field(
        default="", description="Key of an older window, like 2026-01-19-16:45; leave out for the newest."
    )


class SharedFilters(WindowParameter):
    """The filters that the page and the API share; an empty filter matches every signal."""

    strategy: Texts = Field(default=(), description="Names of strategies, separated by commas; case does not matter.")
    exchange: Texts = Field(default=(), description="Exchanges, separated by commas; case does not matter.")
    action: Annotated[tuple[Action, ...], BeforeValidator(items)] = Field(
        default=(), description="LONG, SHORT or WAIT, separated by commas."
    )
    status: Annotated[tuple[Status, ...], BeforeValidator(items)] = Field(
        default=(), description="Status of the open interest: resolved, aggregated or neutral, separated by commas."
    )
    min_score: Annotated[float | None, BeforeValidator(none_if_blank)] = Field(
        default=None, ge=0, le=100, allow_inf_nan=False, description="Minimum score, 0 to 100."
    )

    def matches(self, signal: Mapping[str, Any]) -> bool:
        """Return whether a signal passes every filter."""
        return (
            (not self.strategy or signal["strategy_name"].casefold() in {name.casefold() for name in self.strategy})
            and (not self.exchange or signal["exchange"].casefold() in {name.casefold() for name in self.exchange})
            and (not self.action or signal["action"] in self.action)
            and (not self.status or signal["oi_metadata"]["status"] in self.status)
            and (self.min_score is None or signal["score"] >= self.min_score)
        )


class Filters(SharedFilters):
    """The filters of the API."""

    source: Texts = Field(default=(), description="Alias of exchange, for existing consumers.")
    symbol: str = Field(default="", description="Text that the symbol contains; case does not matter.")
    limit: Annotated[int | None, BeforeValidator(none_if_blank)] = Field(
        default=None, ge=1, le=100_000, description="Maximum number of signals, best first."
    )
    fields: Texts = Field(default=(), description="Keys of a signal to return, separated by commas.")

    @field_validator("fields")
    @classmethod
    def _reject_unknown_keys(cls, keys: tuple[str, ...]) -> tuple[str, ...]:
        for key in keys:
            if key not in SIGNAL_KEYS:
                context = {"key": f"{key:.40}", "expected": ", ".join(SIGNAL_KEYS)}
                raise PydanticCustomError("unknown_key", "unknown key {key}, expected {expected}", context)
        return keys

    @model_validator(mode="after")
    def _merge_alias(self) -> Filters:
        """Treat `source` as `exchange`."""
        if not self.source:
            return self
        return self.model_copy(update={"exchange": (*self.exchange, *self.source), "source": ()})

    @property
    def has_filters(self) -> bool:
        """Whether any filter but the window is set."""
        return any(getattr(self, name) not in ((), "", None) for name in type(self).model_fields if name != "window")

    def matches(self, signal: Mapping[str, Any]) -> bool:
        """Return whether a signal passes every filter."""
        return super().matches(signal) and has_symbol(signal, self.symbol)


def check_parameters(request: Request) -> None:
    """Raise QueryError for a value that is too long, given twice, or looks like a file path (404)."""
    given = request.query_params.multi_items()
    for text in (*request.path_params.values(), *(part for pair in given for part in pair)):
        if _PATH_LIKE.search(text):
            raise QueryError("address not found", status=404, code="not_found")
    names = set()
    for name, value in given:
        if len(value) > MAX_VALUE_LENGTH:
            raise QueryError(f"invalid {name:.40}: longer than {MAX_VALUE_LENGTH} characters")
        if name in names and name not in _LISTS:
            raise QueryError(f"invalid {name:.40}: given twice")
        names.add(name)


def query_error(error: RequestValidationError) -> QueryError:
    """Return what is wrong with the first invalid parameter of a request."""
    first = error.errors()[0]
    if first["type"] == "unknown_parameter":
        return QueryError(first["msg"])
    name = next((str(step) for step in first["loc"][1:]), "request")
    return QueryError(f"invalid {name}: {first['msg'][:1].lower()}{first['msg'][1:]}")


def filter_feed(feed: Mapping[str, Any], filters: Filters) -> Json:
    """Return the feed with only the signals that pass the filters.

    The counts in `stats` are those of the returned signals; `selection` has the number of matches before `limit`.
    What describes the whole scan (api, freshness, skipped) is unchanged.
    """
    matched = [signal for signal in feed["signals"] if filters.matches(signal)]
    given = matched[: filters.limit] if filters.limit is not None else matched
    stats = selection_stats(feed, given, {signal["strategy_name"] for signal in given})
    if filters.fields:
        given = [{name: signal[name] for name in filters.fields if name in signal} for signal in given]
    return {**feed, "stats": stats, "selection": {"matched": len(matched), "given": len(given)}, "signals": given}
