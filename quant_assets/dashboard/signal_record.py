"""What the record says of one signal, and how its trade ended, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from quant_assets.common.windows import Window
from quant_assets.dashboard import formatting
from quant_assets.dashboard.feed_repository import FeedError
from quant_assets.dashboard.record import trade_rows
from quant_assets.dashboard.trade_repository import TradeRepository
from quant_assets.evaluation import Outcome
from quant_assets.evaluation.live import Cause

Json = Mapping[str, Any]
TradeKey = tuple[str, str, str, str]
"""Strategy, exchange, symbol, side."""

TOO_FEW: Final = "too few to say"
OUTCOMES: Final[Mapping[str, str]] = {
    Outcome.TARGET: "reached the target",
    Outcome.STOP: "was stopped",
    Outcome.EXPIRED: "reached its time limit",
    Outcome.LOST: "was lost: the market's bars stopped",
    Outcome.NO_ENTRY: "had no entry",
    Outcome.OPEN: "is open",
    Outcome.PENDING: "is about to be entered",
}
CAUSES: Final[Mapping[str, str]] = {
    Cause.CANDLES: "candles came later or were revised, so the setup is another one",
    Cause.DERIVATIVES: "derivatives came later, so the setup is another one",
    Cause.MISSED_SCAN: "the window before was not scanned in time, so the replayed trade begins earlier",
    Cause.REVISED_BARS: "bars were revised after the entry or the exit",
}
_SHORT: Final[Mapping[str, str]] = {Outcome.TARGET: "target", Outcome.STOP: "stop", Outcome.EXPIRED: "expired"}


def record_text(record: Json | None) -> str:
    """Return the mean result and the number of trades of a signal's record in a few characters; "" without any."""
    if record is None:
        return ""
    return TOO_FEW if record["too_few"] else f"{result_text(record['mean_r'])} R"


def record_sentence(signal: Json) -> str:
    """Return the meaning of a signal's record in one sentence; "" for a signal that waits, or an older feed."""
    record = signal.get("track_record")
    if signal["setup"] is None or "track_record" not in signal:
        return ""
    like = f"{signal['strategy_name']} {signal['action']} signals with a score like this"
    if record is None:
        return f"No trade of {like} has run its time yet."
    found = f"{like}: {_counted(record['n'], 'trade')} on {_counted(record['days'], 'day')} of the last 90"
    if record["too_few"]:
        return f"{found}, {TOO_FEW}."
    interval = record["mean_r_interval"]
    if interval is None or interval[0] <= 0 <= interval[1]:
        meaning = "which cannot be told from 0"
    else:
        meaning = "a gain" if interval[0] > 0 else "a loss"
    ends = "" if interval is None else f" (95 %: {result_text(interval[0])} to {result_text(interval[1])})"
    edge = "" if record["edge_r"] is None else f"; against random entries {result_text(record['edge_r'])} R"
    return f"{found}, on average {result_text(record['mean_r'])} R after costs{ends}, {meaning}{edge}."


def record_fields(signal: Json, ended: Json | None) -> dict[str, Any]:
    """Return the fields of a row for what signals like this were worth, and how its own trade ended."""
    record = signal.get("track_record")  # feeds from before it lack the key
    few = record is not None and record["too_few"]
    return {
        "record": None if record is None or few else record["mean_r"],
        "record_text": record_text(record),
        "record_few": few,
        "record_n": "" if record is None else f"n {record['n']:,}",
        "record_title": " ".join(text for text in (ending_sentence(ended), record_sentence(signal)) if text),
        "ended_text": ending_text(ended),
    }


def trade_endings(trades: TradeRepository, window: Window) -> dict[TradeKey, Json]:
    """Return the trades that follow the setups of a window and have ended by now; none if the table is damaged."""
    try:
        followed = trades.followed(window)
    except FeedError:  # the page of signals does not depend on their record, whose own page says what is wrong
        return {}
    ended = followed[followed["outcome"].isin([Outcome.TARGET, Outcome.STOP, Outcome.EXPIRED, Outcome.LOST])]
    rows = trade_rows(ended)
    return {(row["strategy"], row["exchange"], row["symbol"], row["side"]): row for row in rows}


def trade_key(signal: Json) -> TradeKey:
    """Return what a signal's trade is found by."""
    return signal["strategy_name"], signal["exchange"], signal["symbol"], signal["action"]


def ending_text(trade: Json | None) -> str:
    """Return how a trade ended in a few characters, like "target +1.85 R"; "" if it has not."""
    if trade is None:
        return ""
    if trade["outcome"] == Outcome.LOST:
        return "lost"
    return f"{_SHORT[trade['outcome']]} {result_text(trade['net_r'])}\N{NO-BREAK SPACE}R"


def ending_sentence(trade: Json | None) -> str:
    """Return how a signal's trade ended in one sentence; "" if it has not."""
    if trade is None:
        return ""
    result = "" if trade["outcome"] == Outcome.LOST else f", {result_text(trade['net_r'])} R after costs"
    return f"Its trade {OUTCOMES[trade['outcome']]} at {formatting.timestamp(trade['exit_ms'])} UTC{result}."


def result_text(value: float) -> str:
    """Format a result in R with its sign."""
    return formatting.signed(value, 2) or ""


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
