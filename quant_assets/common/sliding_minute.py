"""A limit on calls in any sliding minute, in memory. The budget that processes share is in a database instead."""

from __future__ import annotations

from collections import deque


class SlidingMinute:
    """`limit` calls in any 60 seconds, or in any `length`. Times are integer microseconds, so nothing is rounded."""

    LENGTH = 60_000_000

    def __init__(self, limit: int, length: int = LENGTH) -> None:
        self.limit = limit
        self.length = length
        self._spent: deque[tuple[int, int]] = deque()

    def available(self, at: int) -> int:
        """Return how many calls fit at a time, if none is spent before it; negative above the limit."""
        return self.limit - sum(calls for spent_at, calls in self._spent if spent_at + self.length > at)

    def earliest(self, calls: int, now: int) -> int:
        """Return the earliest time, not before `now`, at which `calls` fit.

        Returns `now` plus the length for more calls than the limit, which never fit.
        """
        while self._spent and self._spent[0][0] + self.length <= now:
            self._spent.popleft()
        free = self.available(now)
        if free >= calls:
            return now
        for spent_at, count in self._spent:
            free += count
            if free >= calls:
                return spent_at + self.length
        return now + self.length

    def spend(self, calls: int, at: int) -> None:
        """Spend calls, whether they fit or not. `at` is not before the last time."""
        self._spent.append((at, calls))
