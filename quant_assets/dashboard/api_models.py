"""The models of the API's responses, besides those of the feed."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, NotRequired

from pydantic import BaseModel, Field, create_model
from typing_extensions import TypedDict

from quant_assets.derivatives.datasets import ENTRIES, DatasetSpec
from quant_assets.feed.model import FeedHead
from quant_assets.feed.signal_model import Signal

Times = Annotated[list[int], Field(description="epoch ms")]
Numbers = list[float | None]


class Problem(TypedDict):
    """Why a request was rejected, or why the feed cannot be shown."""

    code: Annotated[str, Field(description="for programs")]
    message: Annotated[str, Field(description="for people")]


class Error(TypedDict):
    """An error."""

    error: Problem


class Selection(TypedDict):
    """The number of signals that match the filters, and of those returned."""

    matched: int
    given: int


class FilteredFeed(FeedHead):
    """A feed with the signals that match the filters. The counts in `stats` are those of the returned signals."""

    signals: Annotated[list[dict[str, Any]], Field(description="signals, or only the keys in `fields`")]
    selection: Selection


class StoredWindow(TypedDict):
    """A window whose feed is stored, and the address of its feed."""

    window: str
    results: str


class Windows(TypedDict):
    """The windows whose feeds are stored, newest first."""

    windows: list[StoredWindow]


class FeedAge(TypedDict):
    """The age of the feed."""

    window: str
    as_of: str
    age_seconds: float
    stale_after_seconds: float
    simulated: bool


class Coverage(TypedDict):
    """How many markets have data."""

    markets: int
    signals: int
    resolution: dict[str, int]
    served_share: float | None
    freshness: dict[str, Any]


class LastRun(TypedDict):
    """The last scan."""

    last_updated: int
    seconds_ago: float
    api: dict[str, Any]
    skipped_files: int


class Health(TypedDict):
    """Age and coverage of the feed, and the last run; only a problem if the feed cannot be shown."""

    status: Literal["ok", "stale", "unavailable"]
    problem: Problem | None
    feed: NotRequired[FeedAge]
    coverage: NotRequired[Coverage]
    last_run: NotRequired[LastRun]


class Bars(TypedDict):
    """Bars as columns, oldest first."""

    time: Times
    open: Numbers
    high: Numbers
    low: Numbers
    close: Numbers
    volume: Numbers


CandleSeries = TypedDict("CandleSeries", {"4h": Bars, "15m": Bars})


class FormingBar(TypedDict):
    """The 4h bar that is forming at the window's end."""

    timeframe: Literal["4h"]
    time: Annotated[int, Field(description="opening time, epoch ms")]
    through: Annotated[int, Field(description="close of its last 15m bar, epoch ms")]
    bars: Annotated[int, Field(ge=1, description="number of closed 15m bars in it")]
    open: float
    high: float
    low: float
    close: float
    volume: float


class Averages(TypedDict):
    """Moving averages of the 4h chart."""

    timeframe: Literal["4h"]
    time: Times
    ema50: Numbers
    ema200: Numbers


class RsiSeries(TypedDict):
    """RSI(14) of the 4h chart."""

    timeframe: Literal["4h"]
    time: Times
    value: Numbers


class Segment(TypedDict):
    """A part of a line: its points."""

    time: Times
    value: Numbers


class LinePivot(TypedDict):
    """A pivot of a line."""

    time: int
    value: float


class ChartLine(TypedDict):
    """A line of the RSI: solid between its pivots, then projected to the forming bar."""

    kind: Literal["resistance", "support", "broken"]
    pivots: Annotated[list[LinePivot], Field(min_length=2, max_length=2)]
    slope: Annotated[float, Field(description="RSI points per 4h bar")]
    solid: Annotated[Segment, Field(description="between the pivots")]
    projected: Annotated[Segment, Field(description="from the second pivot to the forming bar")]
    touches: int | None
    reverse_rsi_price: float | None
    strategies: Annotated[list[str], Field(description="strategies whose breakout broke the line")]


class OwnChart(TypedDict):
    """A chart of a strategy's own indicators."""

    strategy: str
    chart: Annotated[str, Field(description="title of the chart; price: drawn over the candles")]
    timeframe: Literal["4h", "15m"] | None
    time: Times
    series: Annotated[dict[str, Numbers], Field(description="the values of each indicator by name")]
    problem: Annotated[str, Field(description="why there is no series; empty if there is")]


class DataSource(BaseModel):
    """Where a dataset of the market comes from."""

    status: str | None
    provider: str | None
    coinalyze_symbol: Annotated[str | None, Field(description="its symbol; null where Coinalyze is not its source")]
    reference_exchange: str | None
    unit: str | None
    age_seconds: float | None


def _series_model(spec: DatasetSpec) -> Any:
    """Return the model of a dataset's source and, if it has a chart, of its series."""
    if not spec.chart:
        return DataSource
    through = Annotated[int | None, Field(description="the data are complete up to here, epoch ms")]
    series: dict[str, Any] = {"time": Times, **dict.fromkeys(spec.chart, Numbers)}
    if spec.is_sparse:
        series["known_through"] = through
    return create_model(
        f"{spec.name.title().replace('_', '')}Series",
        __base__=DataSource,
        __doc__=f"{spec.label} by 15-minute bar, and its source.",
        **series,
    )


class ChartTrade(TypedDict):
    """A past trade of the market, as it stood at the window's end."""

    strategy: str
    side: Literal["LONG", "SHORT"]
    entry_ms: int
    entry: float
    stop: float
    target: float
    exit_ms: int | None
    exit: float | None
    outcome: str
    net_r: float | None


class MarketChart(BaseModel):
    """The signals of one market with the series of its chart, cut at the window's end."""

    window: str
    as_of: str
    simulated: bool
    exchange: str
    symbol: str
    signals: Annotated[list[Signal], Field(min_length=1)]
    candles: CandleSeries
    forming: Annotated[FormingBar | None, Field(description="null if a 4h bar closes at the window's end")]
    averages: Averages
    rsi: RsiSeries
    lines: list[ChartLine]
    trades: Annotated[list[ChartTrade], Field(description="past trades of the market's signals, oldest first")]
    indicators: Annotated[list[OwnChart], Field(description="own indicators of strategies, where they are drawn")]


#: A market's chart with each registered dataset.
Chart: Final[Any] = create_model(
    "Chart", __base__=MarketChart, __doc__=MarketChart.__doc__, **{spec.name: _series_model(spec) for spec in ENTRIES}
)
