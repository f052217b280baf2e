"""Fixture: a virtual clock, which sleeping moves."""

from __future__ import annotations

import pytest


class VirtualClock:
    """UNIX seconds that pass only by sleeping."""

    def __init__(self, start: float = 1_768_842_300.0) -> None:
        self.now = start
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()
