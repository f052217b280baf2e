"""Reasons to wait. The gates of a strategy say what each one means, with the strategy's limits."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Reason(StrEnum):
    """Why there is no setup. Members equal their plain strings, and a plugin may use strings of its own."""

    INSUFFICIENT_HISTORY = "insufficient_history"
    STALE_CANDLES = "stale_candles"
    STRATEGY_FAILED = "strategy_failed"
    """The strategy raised an exception, or its verdict did not match its declaration."""
    STOP_TOO_CLOSE = "stop_too_close"
    NO_VALID_SETUP = "no_valid_setup"
    NO_TREND = "no_trend"
    SCORE_BELOW_THRESHOLD = "score_below_threshold"
    NO_BREAKOUT = "no_breakout"
    PRICE_MOVED_AWAY = "price_moved_away"
    ALREADY_HIT = "already_hit"
    POOR_RISK_REWARD = "poor_risk_reward"
    OI_Z_SCORE_TOO_LOW = "oi_z_score_too_low"
    OBV_AGAINST = "obv_against"
    OUTSIDE_RANGE = "outside_range"


INSUFFICIENT_HISTORY: Final = Reason.INSUFFICIENT_HISTORY
STALE_CANDLES: Final = Reason.STALE_CANDLES
STRATEGY_FAILED: Final = Reason.STRATEGY_FAILED
STOP_TOO_CLOSE: Final = Reason.STOP_TOO_CLOSE
