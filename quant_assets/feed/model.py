"""The model of the master feed, from which its JSON Schema is generated."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from quant_assets.feed.model_schema import CLOSED, SchemaWithoutFieldTitles, allow_other_keys, json_schema
from quant_assets.feed.signal_model import Signal

Count = Annotated[int, Field(ge=0)]
#: The last ms of the year 9999.
TimeMs = Annotated[int, Field(ge=0, le=253_402_300_799_999)]
AgeSeconds = Annotated[float, Field(ge=0)] | None


@with_config(CLOSED)
class Resolution(TypedDict):
    """The number of markets of each status of open interest."""

    resolved: Count
    aggregated: Count
    neutral: Count


@with_config(CLOSED)
class Actions(TypedDict):
    """The number of signals of each action."""

    LONG: Count
    SHORT: Count
    WAIT: Count


@with_config(CLOSED)
class ApiUsage(TypedDict):
    """What the last refresh of the window spent."""

    calls: Count
    requests: Count
    rate_limited: Count
    cache_hits: Annotated[int, Field(ge=0, description="symbols of datasets that needed no call")]
    waited_seconds: NotRequired[Annotated[float, Field(ge=0)]]


@with_config(CLOSED)
class DatasetFreshness(TypedDict):
    """The ages of a dataset's values at the window's end."""

    median_age_seconds: AgeSeconds
    p95_age_seconds: AgeSeconds
    fresh: Annotated[int, Field(ge=0, description="markets whose data are at most 2 hours old")]
    stale: Annotated[int, Field(ge=0, description="markets whose data are older than 2 hours")]
    missing: Annotated[int, Field(ge=0, description="markets without data")]


@with_config(ConfigDict(json_schema_extra=allow_other_keys(DatasetFreshness)))
class Freshness(TypedDict):
    """The ages of each dataset, those of installed packages included."""

    open_interest: DatasetFreshness
    funding_rate: DatasetFreshness
    long_short_ratio: DatasetFreshness
    liquidations: DatasetFreshness


@with_config(CLOSED)
class Candles(TypedDict):
    """The candles that the signals were computed from."""

    newest_close_ms: Annotated[
        int | None, Field(description="when the newest 15m bar that was used had closed, epoch ms")
    ]
    held_back: Annotated[int, Field(ge=0, description="bars that had not ended when their file was written")]


@with_config(CLOSED)
class Stats(TypedDict):
    """Counts of the whole scan."""

    markets: Count
    signals: Count
    strategies: list[str]
    resolution: Resolution
    actions: Actions
    api: ApiUsage
    freshness: Freshness
    candles: Candles
    skipped: Annotated[dict[str, str], Field(description="file -> reason")]


@with_config(CLOSED)
class FeedHead(TypedDict):
    """A feed without its signals."""

    last_updated: Annotated[TimeMs, Field(description="when it was written, epoch ms")]
    published_at_ms: Annotated[TimeMs, Field(description="when the window's first feed was written, epoch ms")]
    schema_version: Literal["2.0"]
    as_of: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:00Z$", description="end of the window")]
    window: Annotated[
        str, Field(pattern=r"^\d{4}-\d\d-\d\d-\d\d:\d\d$", description="partition key: the window's start")
    ]
    simulated: Annotated[bool, Field(description="whether any input came from an emulator")]
    stats: Stats


@with_config(ConfigDict(extra="forbid", title="master_feed"))
class MasterFeed(FeedHead):
    """Scored trading signals: one for every market and strategy of a 15-minute window."""

    signals: list[Signal]


def generate_schema() -> dict[str, Any]:
    """Return the JSON Schema of the feed."""
    return {"$schema": SchemaWithoutFieldTitles.schema_dialect, **json_schema(MasterFeed)}
