"""The models of the derivative data in a signal."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from quant_assets.feed.model_schema import CLOSED, allow_other_keys

Age = Annotated[float, Field(ge=0)] | None
Provider = Annotated[str | None, Field(description="provider of the value, such as coinalyze")]


@with_config(CLOSED)
class OiMetadata(TypedDict):
    """Open interest and its source."""

    status: Literal["resolved", "aggregated", "neutral"]
    coinalyze_symbol: Annotated[
        str | None, Field(description="symbol of the value; null where Coinalyze is not its source")
    ]
    value: Annotated[float | None, Field(description="open interest, in unit")]
    unit: Literal["BASE_ASSET", "QUOTE_ASSET", "USD"] | None
    change_24h_pct: Annotated[
        float | None,
        Field(
            description="last close of open interest against the first of the 24 hours before it, percent; null if the "
            "first is less than 23 hours older"
        ),
    ]
    z_score: float | None
    z_score_valid: bool
    age_seconds: Age
    reference_exchange: Annotated[str | None, Field(description="exchange that the data come from")]
    provider: Provider
    z_score_provider: Annotated[
        str | None, Field(description="provider of the z-score, if it is of another series than the value")
    ]


@with_config(CLOSED)
class FundingRate(TypedDict):
    """The last known funding rate, percent for `interval_hours`."""

    value: float
    interval_hours: Annotated[
        Annotated[float, Field(gt=0)] | None, Field(description="hours that the rate is for; null if unknown")
    ]
    age_seconds: Age
    provider: Provider


@with_config(CLOSED)
class LongShortRatio(TypedDict):
    """The last known ratio of long to short accounts."""

    value: float
    age_seconds: Age
    provider: Provider


@with_config(CLOSED)
class Liquidations(TypedDict):
    """Liquidated longs and shorts of the last hour and the last 24."""

    longs_1h: float
    shorts_1h: float
    longs_24h: float
    shorts_24h: float
    unit: str | None
    age_seconds: Age
    provider: Provider


@with_config(ConfigDict(json_schema_extra={"additionalProperties": {"type": ["number", "null"]}}))
class AddedDataset(TypedDict):
    """The block of a dataset that an installed package adds: its values by the names of its entry."""

    unit: NotRequired[str | None]
    age_seconds: Age
    provider: Provider


@with_config(ConfigDict(json_schema_extra=allow_other_keys(AddedDataset, or_null=True)))
class Derivatives(TypedDict):
    """Other derivative data, those of installed packages included; null where unknown."""

    funding_rate: FundingRate | None
    long_short_ratio: LongShortRatio | None
    liquidations: Liquidations | None
