"""By which clock a bar has closed: this machine's and the provider's have to agree."""

from __future__ import annotations

from typing import Final

from quant_assets.derivatives.report import RefreshReport

CLOCKS_APART_SECONDS: Final = 60.0
CLOCK_PROBLEM: Final = "this machine's clock"


def conservative_now(ours: float, theirs: float | None, report: RefreshReport) -> float:
    """Return the time of day by which a bar has closed, if that is what both this machine and the provider say.

    By a clock here that is ahead, bars that are still open would be stored as final, and those that have not begun
    as known. A difference of some seconds is usual.
    """
    if theirs is None or abs(ours - theirs) <= CLOCKS_APART_SECONDS:
        return ours
    if not any(CLOCK_PROBLEM in problem for problem in report.problems):
        how = "ahead of" if ours > theirs else "behind"
        report.problems.append(
            f"{CLOCK_PROBLEM} is {abs(ours - theirs):.0f} s {how} the provider's; set it (bars open by one are left)"
        )
    return min(ours, theirs)
