"""The model of one signal of the feed: one market and one strategy.

Keys are required unless they are `NotRequired`; those are left out where unknown, and never null.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, NotRequired

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from quant_assets.feed.derivative_models import Derivatives, OiMetadata
from quant_assets.feed.line_models import Line, Trendline
from quant_assets.feed.model_schema import CLOSED

Side = Literal["LONG", "SHORT"]
Bias = Literal["LONG", "SHORT", "NONE"]
Score = Annotated[float, Field(ge=0, le=100)]
Price = Annotated[float, Field(gt=0)]
OnlyOfSomeStrategies = Annotated[float, Field(description="only of a strategy that has this part")]

#: What else holds, by action: a WAIT has a reason and no setup, a LONG or SHORT a setup and no reason.
_BY_ACTION: Final[dict[str, Any]] = {
    "if": {"properties": {"action": {"const": "WAIT"}}},
    "then": {
        "properties": {
            "setup": {"type": "null"},
            "rr": {"const": 0},
            "entry": {"type": "null"},
            "details": {"properties": {"reason": {"type": "string", "minLength": 1}}},
        }
    },
    "else": {
        "properties": {
            "setup": {"type": "object"},
            "entry": {"type": "number"},
            "stop_loss": {"type": "number"},
            "take_profit": {"type": "number"},
            "details": {"properties": {"reason": {"type": "null"}}},
        }
    },
}


@with_config(CLOSED)
class Setup(TypedDict):
    """The entry, stop and target of a LONG or SHORT; `trendline` is the broken line of a breakout."""

    side: Side
    entry: Price
    sl: Price
    tp: Price
    rr: Price
    trendline: NotRequired[Trendline]


@with_config(ConfigDict(json_schema_extra={"additionalProperties": {"type": "number"}}))
class ScoreBreakdown(TypedDict):
    """The points of each part by its name, their base, and their total."""

    base: Annotated[float, Field(description="all parts but oi_flow and sentiment, minus the penalty")]
    total: float


@with_config(CLOSED)
class OiMeta(TypedDict):
    """Open interest of 24 hours; 0 where unknown."""

    oi_slope: float
    oi_points: Annotated[int, Field(ge=0)]
    oi_avg: float


@with_config(CLOSED)
class SentimentMeta(TypedDict):
    """Liquidations of the last hour, and the long/short ratio; 0 where unknown."""

    liq_longs: float
    liq_shorts: float
    liq_ratio: Annotated[
        float, Field(ge=0, le=1, description="share of longs among what was liquidated in the last hour")
    ]
    top_ls_ratio: float


@with_config(CLOSED)
class Details(TypedDict):
    """The score and why the signal waits."""

    total: float
    reason: Annotated[str | None, Field(description="why it waits; null with a setup")]
    reason_value: Annotated[float | None, Field(description="the measured value, if the reason is a threshold")]
    reason_bound: Annotated[float | None, Field(description="the threshold that was missed")]
    trendScore: float
    structureScore: float
    moneyFlowScore: float
    timingScore: float
    vol24h: Annotated[float, Field(ge=0, description="sum of close × volume of 96 15m bars; 0 where unknown")]
    change_24h_pct: Annotated[
        float | None, Field(description="change of the last 15m close from the one 24 hours before, percent")
    ]
    score_breakdown: ScoreBreakdown
    oi_meta: OiMeta
    sentiment_meta: SentimentMeta
    geometryScore: NotRequired[OnlyOfSomeStrategies]
    momentumScore: NotRequired[OnlyOfSomeStrategies]


@with_config(CLOSED)
class Htf(TypedDict):
    """Values of the 4h bars; 0 where there are too few."""

    trend: Literal["UP", "DOWN"]
    bias: Annotated[Bias, Field(description="the signal's bias")]
    ema_bias: Annotated[Bias, Field(description="order of the 4h close, EMA50 and EMA200")]
    adx: float
    ema50: float
    ema200: float


@with_config(CLOSED)
class Ltf(TypedDict):
    """Values of the 15m bars; 0 where there are too few."""

    rsi: float
    adx: float
    bias: Bias
    obvImbalance: Literal["BULLISH", "BEARISH", "NEUTRAL"]
    divergence: Literal["BULLISH", "BEARISH", "NONE"]
    isPullback: bool
    pullbackDepth: float
    volumeOk: bool
    momentumOk: bool
    isOverextended: bool


@with_config(ConfigDict(json_schema_extra={"additionalProperties": {"type": "boolean"}}))
class FiltersPassed(TypedDict):
    """Whether each gate that was judged was passed."""

    oi_zscore: NotRequired[bool]
    obv_slope: NotRequired[bool]


@with_config(CLOSED)
class ScoreComposition(TypedDict):
    """What the score was made from. An unknown value, or a part that the strategy does not have, is left out."""

    rsi: NotRequired[Annotated[float, Field(description="4h RSI(14)")]]
    adx: NotRequired[Annotated[float, Field(description="4h ADX(14)")]]
    ema50: NotRequired[Annotated[float, Field(description="4h")]]
    ema200: NotRequired[Annotated[float, Field(description="4h")]]
    close_price: Annotated[float, Field(description="last 15m close")]
    atr: NotRequired[Annotated[float, Field(description="4h ATR(14)")]]
    trend_score: NotRequired[float]
    structure_score: NotRequired[float]
    money_flow_score: NotRequired[float]
    timing_score: NotRequired[float]
    geometry_score: NotRequired[float]
    momentum_score: NotRequired[float]
    oi_flow_score: NotRequired[float]
    sentiment_score: NotRequired[float]
    oi_z_score: NotRequired[float]
    oi_z_score_valid: bool
    obv_slope: NotRequired[float]
    oi_available: bool
    funding_available: bool
    ls_ratio_available: bool
    liquidations_available: bool
    filters_passed: FiltersPassed


@with_config(CLOSED)
class RsiVisuals(TypedDict):
    """The present lines of the 4h RSI; a line that does not exist is left out."""

    resistance: NotRequired[Line]
    support: NotRequired[Line]


@with_config(CLOSED)
class Observability(TypedDict):
    """How the signal came about."""

    score_composition: ScoreComposition
    rsi_visuals: RsiVisuals
    calculated_at: Annotated[int, Field(description="end of the window, epoch ms")]
    candle_index: Annotated[int, Field(ge=-1, description="index of the last 4h bar; -1 if there is none")]
    indicators: NotRequired[
        Annotated[
            dict[str, float],
            Field(description="values of the strategy's own indicators; unknown ones are left out"),
        ]
    ]


@with_config(CLOSED)
class Meta(TypedDict):
    """The timeframes and the kind of strategy."""

    htfInterval: Literal["4h"]
    ltfInterval: Literal["15m"]
    strategy_type: str


@with_config(CLOSED)
class Conflict(TypedDict):
    """A setup of the other side on the same asset."""

    exchange: str
    symbol: str
    strategy_name: str
    side: Side


@with_config(CLOSED)
class TrackRecord(TypedDict):
    """Results of the strategy's past signals of the same side and score quartile, mature at the window's end."""

    n: Annotated[int, Field(ge=0, description="trades that were entered in the last 90 days")]
    days: Annotated[int, Field(ge=0, description="UTC days with an entry")]
    too_few: Annotated[bool, Field(description="under 30 trades or 10 days: too few to say anything")]
    mean_r: Annotated[float | None, Field(description="mean result after costs, in R; null without a trade")]
    mean_r_interval: Annotated[
        Annotated[list[float], Field(min_length=2, max_length=2)] | None,
        Field(description="its 95 % interval; null where it cannot be computed"),
    ]
    edge_r: Annotated[float | None, Field(description="mean of the result minus that of random entries, in R")]
    win_share: Annotated[float | None, Field(description="share with a gain after costs")]


@with_config(ConfigDict(extra="forbid", title="signal", json_schema_extra={"allOf": [_BY_ACTION]}))
class Signal(TypedDict):
    """One market and one strategy."""

    strategy_name: str
    strategy: str
    symbol: Annotated[str, Field(description="local symbol")]
    display_symbol: str
    canonical_symbol: Annotated[str, Field(description="the asset")]
    exchange: str
    source: Annotated[
        Literal["HYPERLIQUID", "KUCOIN", "MEXC"],
        Field(description="where a page can draw candles from: the exchange, or MEXC"),
    ]
    exchange_tag: str
    price: Annotated[float, Field(gt=0, description="last 15m close")]
    price_age_seconds: Annotated[
        float, Field(ge=0, description="the window's end minus the close of the bar that has the price")
    ]
    score: Score
    total_score: Score
    rr: Annotated[float, Field(ge=0, description="reward / risk; 0 without a setup")]
    bias: Bias
    action: Literal["LONG", "SHORT", "WAIT"]
    setup: Setup | None
    details: Details
    htf: Htf
    ltf: Ltf
    observability: Observability
    oi_metadata: OiMetadata
    derivatives: Derivatives
    meta: Meta
    timestamp: Annotated[int, Field(description="end of the window, epoch ms")]
    entry: NotRequired[float | None]
    stop_loss: NotRequired[float | None]
    take_profit: NotRequired[float | None]
    conflict: Annotated[
        Annotated[list[Conflict], Field(min_length=1)] | None,
        Field(description="setups of the other side on the same asset in this window"),
    ]
    track_record: Annotated[
        TrackRecord | None,
        Field(description="results of the strategy's past signals; null for a WAIT, and until there is one"),
    ]
