"""Limit the calls of a key in a sliding window of 60 seconds."""

from __future__ import annotations

from collections import deque
from threading import Lock

WINDOW_MICROSECONDS = 60_000_000


class RateLimiter:
    """Count the calls of the last 60 seconds; times are integer microseconds, so that nothing is rounded."""

    def __init__(self, calls_per_minute: int) -> None:
        self.calls_per_minute = calls_per_minute
        self._spent: deque[tuple[int, int]] = deque()
        self._lock = Lock()

    def acquire(self, calls: int, now: int) -> int:
        """Spend `calls` at `now` and return 0, or spend nothing and return the microseconds to wait.

        Returns a whole window for more calls than the limit, which never fit.
        """
        with self._lock:
            while self._spent and self._spent[0][0] + WINDOW_MICROSECONDS <= now:
                self._spent.popleft()
            excess = sum(cost for _, cost in self._spent) + calls - self.calls_per_minute
            if excess <= 0:
                self._spent.append((now, calls))
                return 0
            for spent_at, cost in self._spent:
                excess -= cost
                if excess <= 0:
                    return spent_at + WINDOW_MICROSECONDS - now
            return WINDOW_MICROSECONDS

    def spend(self, calls: int, now: int) -> None:
        """Spend `calls` as another client of the same key does, whether they fit or not."""
        with self._lock:
            self._spent.append((now, calls))
