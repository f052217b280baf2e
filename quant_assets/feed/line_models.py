"""The models of the trendlines in a signal."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

Index = Annotated[int, Field(ge=0)]
TimeMs = Annotated[int, Field(description="epoch ms")]


@with_config(ConfigDict(extra="forbid"))
class Pivot(TypedDict):
    """A pivot of the 4h RSI."""

    index: Annotated[int, Field(ge=0, description="index into the 4h bars used")]
    value: Annotated[float, Field(description="RSI")]
    time: Annotated[int, Field(description="open of the bar, epoch ms")]


@with_config(ConfigDict(extra="forbid"))
class Line(TypedDict):
    """A present resistance or support of the 4h RSI."""

    pivot_1: Pivot
    pivot_2: Pivot
    slope: Annotated[float, Field(description="RSI points per 4h bar")]
    intercept: Annotated[float, Field(description="RSI at index 0")]
    equation: str
    touches: Annotated[int, Field(ge=2, description="pivots within 1.0 of the line")]
    current_value: Annotated[float, Field(description="RSI of the line at the last bar")]
    reverse_rsi_price: Annotated[float | None, Field(description="next 4h close that puts RSI on the line")]


@with_config(ConfigDict(extra="forbid"))
class Trendline(TypedDict):
    """The line of the 4h RSI that a breakout broke."""

    m: Annotated[float, Field(description="RSI points per bar")]
    c: Annotated[float, Field(description="RSI at index 0")]
    start_idx: Index
    start_rsi: float
    start_time: TimeMs
    end_idx: Index
    end_rsi: float
    end_time: TimeMs
    current_projected_rsi: float
