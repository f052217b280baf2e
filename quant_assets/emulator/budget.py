"""The rate limit of a key: calls in a sliding window of 60 seconds."""

from __future__ import annotations

from collections import deque
from threading import Lock

WINDOW_MICROSECONDS = 60_000_000


class Budget:
    """Calls of the last 60 seconds; moments are integer microseconds, so that nothing is rounded."""

    def __init__(self, calls_per_minute: int) -> None:
        self.calls_per_minute = calls_per_minute
        self._spent: deque[tuple[int, int]] = deque()
        self._lock = Lock()

    def take(self, calls: int, now: int) -> int:
        """Spend `calls` at `now` and return 0, or spend nothing and return the microseconds until they would fit.

        More calls than the limit never fit: the answer is then always a whole window.
        """
        with self._lock:
            while self._spent and self._spent[0][0] + WINDOW_MICROSECONDS <= now:
                self._spent.popleft()
            excess = sum(cost for _, cost in self._spent) + calls - self.calls_per_minute
            if excess <= 0:
                self._spent.append((now, calls))
                return 0
            for moment, cost in self._spent:
                excess -= cost
                if excess <= 0:
                    return moment + WINDOW_MICROSECONDS - now
            return WINDOW_MICROSECONDS

    def spend(self, calls: int, now: int) -> None:
        """Spend `calls` as another user of the same key would, without asking whether they fit."""
        with self._lock:
            self._spent.append((now, calls))
