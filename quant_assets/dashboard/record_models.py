"""The models of the API's responses about the record and trades."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

Interval = Annotated[list[float] | None, Field(description="95 % interval; null if it cannot be computed")]


class Summary(TypedDict):
    """The main statistics of trades whose time limit has passed; R is the distance from entry to stop."""

    n: int
    days: Annotated[int, Field(description="UTC days with an entry")]
    asset_days: Annotated[int, Field(description="different pairs of asset and day")]
    too_few: Annotated[bool, Field(description="under 30 trades or 10 days: nothing can be said")]
    win_share: float | None
    win_interval: Interval
    mean_r: float | None
    mean_r_interval: Interval
    edge_r: Annotated[float | None, Field(description="mean difference to random entries")]
    edge_r_interval: Interval


class Quartile(TypedDict):
    """The trades of one score quartile."""

    quartile: int
    n: int
    days: int
    too_few: bool
    min_score: float | None
    max_score: float | None
    mean_r: float | None
    mean_r_interval: Interval


class StrategyRecord(Summary):
    """The record of one strategy."""

    median_r: float | None
    profit_factor: float | None
    score_rank_correlation: float | None
    score_rank_interval: Interval
    quartiles: list[Quartile]
    target_share: float | None
    break_even_share: float | None
    outcomes: Annotated[dict[str, int], Field(description="trades by outcome, also those that do not count yet")]
    ambiguous_share: float | None
    bars_held_mean: float | None
    max_drawdown_r: float | None
    mean_r_ambiguous_at_target: float | None
    mean_r_lost_at_stop: float | None
    mean_r_one_bar_later: float | None


class GroupRecord(Summary):
    """The trades of one strategy that have something in common."""

    by: Annotated[str, Field(description="side, exchange, open interest, or UTC hour of entry")]
    strategy: str
    name: str


class Replayed(TypedDict):
    """Settled trades that were compared with a replay."""

    compared: int
    agree: int
    causes: Annotated[dict[str, int], Field(description="trades that differ, by cause")]


class Record(TypedDict):
    """What the published signals were worth."""

    trades: Annotated[int, Field(description="trades of all outcomes that pass the filters")]
    hindsight: Annotated[int, Field(description="trades left out: their market was selected later")]
    costs: dict[str, float]
    strategies: dict[str, StrategyRecord]
    groups: list[GroupRecord]
    replayed: Replayed


class Trade(TypedDict):
    """A trade of a published signal; null is unknown, or has not happened."""

    strategy: str
    exchange: str
    symbol: str
    asset: str
    side: Literal["LONG", "SHORT"]
    source: Literal["published", "late"]
    window: str
    published_at_ms: int
    score: float
    rr: float
    oi_status: str
    hindsight: bool
    entry_ms: int
    entry: float | None
    stop: float
    target: float
    deadline_ms: int
    exit_ms: int | None
    exit: float | None
    outcome: Literal["target", "stop", "expired", "open", "pending", "lost", "no_entry"]
    reason: str
    ambiguous: bool
    mature: bool
    final: bool
    bars_held: int
    gross_r: float | None
    net_r: float | None
    funding_known: float | None
    mfe_r: float | None
    mae_r: float | None
    chance_r: float | None
    later_r: float | None
    replay: Annotated[
        Literal["", "agrees", "candles", "derivatives", "revised_bars", "missed_scan"],
        Field(description="whether a replay gave the same trade when it was settled; empty if it was not compared"),
    ]
    replay_r: float | None


class Trades(TypedDict):
    """Trades, newest first, and the number that pass the filters."""

    matched: int
    trades: list[Trade]
