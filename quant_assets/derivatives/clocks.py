"""Which time decides whether a bar has closed, if this machine's clock and the provider's differ."""

from __future__ import annotations

from typing import Final

from quant_assets.derivatives.report import RefreshReport

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
