"""Reasons to wait."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Reason(StrEnum):
    """Why there is no setup. Members equal their plain strings, and a plugin may use strings of its own."""

    INSUFFICIENT_HISTORY = "insufficient_history"
    """Any strategy: a timeframe has fewer closed bars than needed."""
    STALE_CANDLES = "stale_candles"
    """Any strategy: the last bar of a timeframe is too old."""
    STRATEGY_FAILED = "strategy_failed"
    """Any strategy: it raised an exception, or its verdict did not match its declaration."""
    STOP_TOO_CLOSE = "stop_too_close"
    """Any strategy: the stop is nearer to the entry than `min_stop_pct`."""
    NO_VALID_SETUP = "no_valid_setup"
    """Entry, stop and target are not in order."""
    NO_TREND = "no_trend"
    """Legacy: close and averages are not in order."""
    SCORE_BELOW_THRESHOLD = "score_below_threshold"
    """Legacy: the score is below the parameter `threshold`."""
    NO_BREAKOUT = "no_breakout"
    """Breakout, BreakoutV2: RSI broke no trendline in the last bars."""
    PRICE_MOVED_AWAY = "price_moved_away"
    """Breakout, BreakoutV2: P is farther from the breakout's close than `max_distance`."""
    ALREADY_HIT = "already_hit"
    """Breakout: a bar after the breakout touched the stop or the target."""
    POOR_RISK_REWARD = "poor_risk_reward"
    """Breakout, BreakoutV2: reward / risk is below `min_rr`."""
    OI_Z_SCORE_TOO_LOW = "oi_z_score_too_low"
    """BreakoutV2: open interest is known, and not unusually high."""
    OBV_AGAINST = "obv_against"
    """BreakoutV2: the OBV slope does not have the sign of the side."""
    OUTSIDE_RANGE = "outside_range"
    """BreakoutV2: HTF RSI is outside the range of the side."""


INSUFFICIENT_HISTORY: Final = Reason.INSUFFICIENT_HISTORY
STALE_CANDLES: Final = Reason.STALE_CANDLES
STRATEGY_FAILED: Final = Reason.STRATEGY_FAILED
STOP_TOO_CLOSE: Final = Reason.STOP_TOO_CLOSE
