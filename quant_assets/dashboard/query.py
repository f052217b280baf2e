"""Which signals are asked for: the filters of a request, checked, and the feed narrowed to them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from quant_assets.feed import feed_schema, has_symbol

Json = dict[str, Any]

#: What looks like a path is nothing that is here, whatever the parameter: `..` as a step, or steps from a root.
_PATH_LIKE: Final = re.compile(
    r"(^|[/\\])\.\.([/\\]|$)|^[/\\][^/\\]*[/\\]|^~[^/\\]*[/\\]|^([a-z]:|file:)[/\\]|\x00", re.IGNORECASE
)
MAX_VALUE: Final = 200
#: Of these a request may name several: separated by commas, or given again.
_LISTS: Final = frozenset({"strategy", "exchange", "action", "status", "fields"})
#: Other name of a filter -> the filter, for pages that exist.
OTHER_NAMES: Final = {"source": "exchange"}


class QueryError(ValueError):
    """A request that cannot be understood; the message names the parameter and says what would do."""

    status = 400
    code = "bad_request"


class PathLikeError(QueryError):
    """A value that looks like a path in a file system: nothing here is found by one."""

    status = 404
    code = "not_found"


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
    """What a request narrows the feed to; a filter that is not given lets everything through."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    strategy: Texts = Field(default=(), description="Names of strategies, separated by commas; case does not matter.")
    exchange: Texts = Field(default=(), description="Exchanges, separated by commas; case does not matter.")
    action: Annotated[tuple[Action, ...], BeforeValidator(_items)] = Field(
        default=(), description="LONG, SHORT or WAIT, separated by commas."
    )
    status: Annotated[tuple[Status, ...], BeforeValidator(_items)] = Field(
        default=(), description="Where open interest comes from: resolved, aggregated or neutral."
    )
    min_score: float | None = Field(default=None, ge=0, le=100, allow_inf_nan=False, description="Least score.")
    symbol: str = Field(default="", description="Text that the symbol contains; case does not matter.")
    limit: int | None = Field(default=None, ge=1, le=100_000, description="At most so many signals, best first.")
    fields: Texts = Field(default=(), description="Keys of a signal to give, separated by commas.")
    window: str = Field(default="", description="Key of an older window, like 2026-01-19-16:45; none for the newest.")

    @property
    def narrows(self) -> bool:
        """Whether anything but the window is asked for."""
        return any(getattr(self, name) not in ((), "", None) for name in type(self).model_fields if name != "window")

    def accepts(self, signal: Mapping[str, Any]) -> bool:
        """Whether a signal passes every filter."""
        return (
            (not self.strategy or signal["strategy_name"].casefold() in {name.casefold() for name in self.strategy})
            and (not self.exchange or signal["exchange"].casefold() in {name.casefold() for name in self.exchange})
            and (not self.action or signal["action"] in self.action)
            and (not self.status or signal["oi_metadata"]["status"] in self.status)
            and (self.min_score is None or signal["score"] >= self.min_score)
            and has_symbol(signal, self.symbol)
        )


def read_filters(parameters: Iterable[tuple[str, str]]) -> Filters:
    """Read the parameters of a request. Raises QueryError, PathLikeError for what looks like a path."""
    given = gathered(parameters)
    try:
        filters = Filters.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            known = ", ".join(Filters.model_fields)
            raise QueryError(f"there is no parameter {name:.40}; known are {known}") from None
        raise QueryError(f"{name}: {first['msg'][:1].lower()}{first['msg'][1:]}") from None
    unknown = [name for name in filters.fields if name not in signal_keys()]
    if unknown:
        raise QueryError(f"fields: a signal has no key {unknown[0]:.40}; it has {', '.join(signal_keys())}")
    return filters


def gathered(parameters: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return each parameter once, those that may name several joined by commas. Raises QueryError."""
    given: dict[str, str] = {}
    pairs = list(parameters)
    for pair in pairs:
        for text in pair:
            refuse_path_like(text)
    for written, value in pairs:
        name = OTHER_NAMES.get(written, written)
        if len(value) > MAX_VALUE:
            raise QueryError(f"{name:.40}: longer than {MAX_VALUE} letters")
        if name in given and name not in _LISTS:
            raise QueryError(f"{name:.40}: given twice")
        if value.strip():
            given[name] = f"{given[name]},{value}" if name in given else value
        elif name not in Filters.model_fields:
            given.setdefault(name, value)
    return given


def refuse_path_like(value: str) -> None:
    """Raise PathLikeError for what looks like a path in a file system."""
    if _PATH_LIKE.search(value):
        raise PathLikeError("there is nothing of that name")


def signal_keys() -> tuple[str, ...]:
    """Return the keys that a signal may have, in the order of the feed's schema."""
    return tuple(feed_schema()["$defs"]["signal"]["properties"])


def narrowed(feed: Mapping[str, Any], filters: Filters) -> Json:
    """Return the feed with the signals that pass the filters.

    The counts of `stats` follow the signals that are given; `selection` says how many passed before `limit`.
    What speaks of the whole scan (api, freshness, skipped) stays.
    """
    passed = [signal for signal in feed["signals"] if filters.accepts(signal)]
    given = passed[: filters.limit] if filters.limit is not None else passed
    markets = {(signal["exchange"], signal["symbol"]): signal["oi_metadata"]["status"] for signal in given}
    strategies = {signal["strategy_name"] for signal in given}
    stats = {
        **feed["stats"],
        "markets": len(markets),
        "signals": len(given),
        "strategies": [name for name in feed["stats"]["strategies"] if name in strategies],
        "resolution": _counts(markets.values(), feed["stats"]["resolution"]),
        "actions": _counts((signal["action"] for signal in given), feed["stats"]["actions"]),
    }
    if filters.fields:
        given = [{name: signal[name] for name in filters.fields if name in signal} for signal in given]
    return {**feed, "stats": stats, "selection": {"matched": len(passed), "given": len(given)}, "signals": given}


def _counts(values: Iterable[str], names: Iterable[str]) -> dict[str, int]:
    counted = Counter(values)
    return {name: counted[name] for name in names}
