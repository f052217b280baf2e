"""Folds in time: what a choice may see, and the unseen part after it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from quant_assets.evaluation.price_bars import STEP
from quant_assets.evaluation.statistics import DAY_MS

#: A past, and an unseen part, has so much time at least.
MIN_PART_MS: Final = DAY_MS


class FoldsError(ValueError):
    """The folds cannot be made from the range; the message says what would do."""


@dataclass(frozen=True, slots=True)
class Fold:
    """The past that a choice is made on, and the unseen part that it is tried on; times are entries, epoch ms."""

    past_first_ms: int
    past_last_ms: int
    """The last entry whose time limit passes before the unseen part begins."""
    unseen_first_ms: int
    unseen_last_ms: int


def make_folds(first_ms: int, last_ms: int, limit_ms: int, count: int) -> list[Fold]:
    """Return folds of a range of entries (epoch ms), whose trades last up to `limit_ms`.

    The second half of the range is unseen, in `count` equal parts. The past of each part is everything before it, from
    the beginning of the range, but for a gap of the time limit, so that no trade of the past ends in the unseen part.
    Raises FoldsError if a past or an unseen part is shorter than a day.
    """
    needed_ms = 2 * max(MIN_PART_MS + limit_ms, count * MIN_PART_MS)
    if last_ms - first_ms < needed_ms:
        days, needed = (last_ms - first_ms) / DAY_MS, needed_ms / DAY_MS
        possible = int((last_ms - first_ms) // (2 * MIN_PART_MS))
        fewer = f", or --folds {possible}" if 2 * (MIN_PART_MS + limit_ms) <= last_ms - first_ms else ""
        raise FoldsError(
            f"--folds {count} with a gap of {limit_ms / 3_600_000:g} hours needs entries of {needed:.1f} days, and "
            f"there are {max(days, 0):.1f}: choose a longer range with --from and --to, get more history{fewer}"
        )
    middle_ms = (first_ms + last_ms) // 2
    starts = [middle_ms + (last_ms - middle_ms) * number // count for number in range(count)]
    bounds = [*(-(-start // STEP) * STEP for start in starts), last_ms + STEP]  # ends of windows
    return [Fold(first_ms, begin - limit_ms, begin, end - STEP) for begin, end in pairwise(bounds)]
