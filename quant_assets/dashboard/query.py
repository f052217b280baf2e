"""The filters of a request: reading and checking them, and filtering a feed by them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from quant_assets.feed import feed_schema, has_symbol
from quant_assets.feed.selection import selection_stats

Json = dict[str, Any]

#: Values that look like a file path: `..` as a step, a root with further steps, a drive, or a NUL.
_PATH_LIKE: Final = re.compile(
    r"(^|[/\\])\.\.([/\\]|$)|^[/\\][^/\\]*[/\\]|^~[^/\\]*[/\\]|^([a-z]:|file:)[/\\]|\x00", re.IGNORECASE
)
MAX_VALUE_LENGTH: Final = 200
#: Parameters that accept several values: separated by commas, or repeated.
_LISTS: Final = frozenset({"strategy", "exchange", "action", "status", "fields"})
#: Alias of a filter -> the filter, for existing consumers.
OTHER_NAMES: Final = {"source": "exchange"}


class QueryError(ValueError):
    """An invalid request; the message names the parameter and what is expected."""

    def __init__(self, message: str, status: int = 400, code: str = "bad_request") -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class PathLikeError(QueryError):
    """A value that looks like a file path, answered like an unknown address."""

    def __init__(self) -> None:
        super().__init__("address not found", status=404, code="not_found")


def _items(value: object) -> object:
    return tuple(item.strip() for item in value.split(",") if item.strip()) if isinstance(value, str) else value


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


Texts = Annotated[tuple[str, ...], BeforeValidator(_items)]
Action = Annotated[Literal["LONG", "SHORT", "WAIT"], BeforeValidator(_upper)]
Status = Annotated[Literal["resolved", "aggregated", "neutral"], BeforeValidator(_lower)]


class Filters(BaseModel):
    """The filters of a request; an empty filter matches every signal."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    strategy: Texts = Field(default=(), description="Names of strategies, separated by commas; case does not matter.")
    exchange: Texts = Field(default=(), description="Exchanges, separated by commas; case does not matter.")
    action: Annotated[tuple[Action, ...], BeforeValidator(_items)] = Field(
        default=(), description="LONG, SHORT or WAIT, separated by commas."
    )
    status: Annotated[tuple[Status, ...], BeforeValidator(_items)] = Field(
        default=(), description="Status of the open interest: resolved, aggregated or neutral, separated by commas."
    )
    min_score: float | None = Field(
        default=None, ge=0, le=100, allow_inf_nan=False, description="Minimum score, 0 to 100."
    )
    symbol: str = Field(default="", description="Text that the symbol contains; case does not matter.")
    limit: int | None = Field(default=None, ge=1, le=100_000, description="Maximum number of signals, best first.")
    fields: Texts = Field(default=(), description="Keys of a signal to return, separated by commas.")
    window: str = Field(
        default="", description="Key of an older window, like 2026-01-19-16:45; leave out for the newest."
    )

    @property
    def has_filters(self) -> bool:
        """Whether any filter but the window is set."""
        return any(getattr(self, name) not in ((), "", None) for name in type(self).model_fields if name != "window")

    def matches(self, signal: Mapping[str, Any]) -> bool:
        """Return whether a signal passes every filter."""
        return (
            (not self.strategy or signal["strategy_name"].casefold() in {name.casefold() for name in self.strategy})
            and (not self.exchange or signal["exchange"].casefold() in {name.casefold() for name in self.exchange})
            and (not self.action or signal["action"] in self.action)
            and (not self.status or signal["oi_metadata"]["status"] in self.status)
            and (self.min_score is None or signal["score"] >= self.min_score)
            and has_symbol(signal, self.symbol)
        )


def parse_filters(parameters: Iterable[tuple[str, str]]) -> Filters:
    """Return the filters of a request. Raises QueryError for invalid ones, PathLikeError for file paths."""
    merged = merge_parameters(parameters)
    try:
        filters = Filters.model_validate(merged)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            raise QueryError(f"unknown parameter {name:.40}: expected {', '.join(Filters.model_fields)}") from None
        raise QueryError(f"invalid {name}: {first['msg'][:1].lower()}{first['msg'][1:]}") from None
    unknown = [name for name in filters.fields if name not in signal_keys()]
    if unknown:
        raise QueryError(f"invalid fields: unknown key {unknown[0]:.40}, expected {', '.join(signal_keys())}")
    return filters


def merge_parameters(parameters: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return each parameter once, repeated lists joined by commas. Raises QueryError.

    Empty filters are left out; other empty parameters are kept.
    """
    merged: dict[str, str] = {}
    pairs = list(parameters)
    for pair in pairs:
        for text in pair:
            reject_path_like(text)
    for alias, value in pairs:
        name = OTHER_NAMES.get(alias, alias)
        if len(value) > MAX_VALUE_LENGTH:
            raise QueryError(f"invalid {name:.40}: longer than {MAX_VALUE_LENGTH} characters")
        if name in merged and name not in _LISTS:
            raise QueryError(f"invalid {name:.40}: given twice")
        if value.strip():
            merged[name] = f"{merged[name]},{value}" if name in merged else value
        elif name not in Filters.model_fields:
            merged.setdefault(name, value)
    return merged


def reject_path_like(value: str) -> None:
    """Raise PathLikeError if a value looks like a file path."""
    if _PATH_LIKE.search(value):
        raise PathLikeError


def signal_keys() -> tuple[str, ...]:
    """Return the keys that a signal may have, in the order of the feed's schema."""
    return tuple(feed_schema()["$defs"]["Signal"]["properties"])


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
