"""Selects the closed bars of a response, also if this machine's clock and the provider's differ."""

from __future__ import annotations

import math
from typing import Final

from quant_assets.derivatives.datasets import BAR_SECONDS, SPECS, Dataset
from quant_assets.derivatives.planner import last_close
from quant_assets.derivatives.report import RefreshReport
from quant_assets.derivatives.store import Fetched
from quant_assets.providers.base import ApiResponse, History

MAX_CLOCK_DIFFERENCE_SECONDS: Final = 60.0
CLOCK_PROBLEM: Final = "this machine's clock"


def conservative_now(local_seconds: float, provider_seconds: float | None, report: RefreshReport) -> float:
    """Return the earlier of both times if they differ by more than a minute, else the local time (UNIX seconds).

    If the local clock were ahead, bars that are still open would be stored as final. The first difference of a refresh
    is added to the report's problems.
    """
    if provider_seconds is None or abs(local_seconds - provider_seconds) <= MAX_CLOCK_DIFFERENCE_SECONDS:
        return local_seconds
    if not any(CLOCK_PROBLEM in problem for problem in report.problems):
        direction = "ahead of" if local_seconds > provider_seconds else "behind"
        report.problems.append(
            f"{CLOCK_PROBLEM} is {abs(local_seconds - provider_seconds):.0f} s {direction} the provider's: set it"
            " (bars that are still open by either clock are skipped)"
        )
    return min(local_seconds, provider_seconds)


def closed_bars(
    dataset: Dataset,
    requested: tuple[str, ...],
    response: ApiResponse[History],
    requested_range: tuple[int, int],
    now: float,
) -> tuple[Fetched, int]:
    """Return the bars of a response that have closed by `now` (UNIX seconds), and the number of invalid bars.

    Open bars are skipped, since a later window would take them for final. Bars that do not open at a quarter hour, open
    after the requested range, or lack a finite number for each column of the dataset are invalid.
    """
    start, end = requested_range
    width = 1 + len(SPECS[dataset].columns)
    rows = [row for row in response.rows if row.symbol in requested]
    valid = {row.symbol: [point for point in row.points if _is_valid(point, width, end)] for row in rows}
    bars = {symbol: [p for p in points if p[0] + BAR_SECONDS <= now] for symbol, points in valid.items()}
    invalid = sum(len(row.points) - len(valid[row.symbol]) for row in rows)
    through = last_close(min(end, int(now)))
    return Fetched(dataset, requested, bars, start, through, int(now * 1000), response.simulated), invalid


def _is_valid(point: tuple[float, ...], width: int, end: int) -> bool:
    return len(point) == width and not point[0] % BAR_SECONDS and point[0] <= end and math.isfinite(sum(point))
