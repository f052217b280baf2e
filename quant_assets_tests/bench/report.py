"""The table of docs/performance.md."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from quant_assets_tests.bench.timing import Times

DOCUMENT = Path(__file__).parents[2] / "docs" / "performance.md"
BEGIN_MARK, END_MARK = "<!-- made by make bench -->", "<!-- end -->"
LIBRARIES = ("numpy", "pandas", "pyarrow", "TA-Lib", "orjson", "msgspec", "dagster")


@dataclass(frozen=True, slots=True)
class Row:
    """One measured stage: wall time (median, minimum, maximum) and processor time in seconds, peak memory, a note."""

    markets: str
    stage: str
    times: Times
    memory_mib: float | None = None
    note: str = ""

    def __str__(self) -> str:
        wall = self.times.wall
        spread = f"{seconds(min(wall))} – {seconds(max(wall))}" if len(wall) > 1 else ""
        memory = f"{self.memory_mib:,.0f}" if self.memory_mib else ""
        return (
            f"| {self.markets} | {self.stage} | {seconds(self.times.wall_median)} | {spread} | {len(wall)} "
            f"| {seconds(self.times.cpu_median)} | {memory} | {self.note} |"
        )


def seconds(value: float) -> str:
    """Format seconds with about three digits."""
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def machine() -> str:
    """Describe the machine and the versions of the libraries, without the host name."""
    versions = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return (
        f"{cores()} cores ({processor()}), {platform.system()}, Python {platform.python_version()}, {versions}. "
        f"{datetime.now(UTC):%Y-%m-%d}."
    )


def cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0))


def processor() -> str:
    """Return the model name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def table(rows: list[Row]) -> str:
    """Return the machine and the rows as Markdown."""
    head = [
        "| markets | what | median (s) | spread (s) | n | processor (s) | peak (MiB) | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join([machine(), "", *head, *map(str, rows)])


def write(rows: list[Row]) -> None:
    """Replace the table in the document, between its marks."""
    text = DOCUMENT.read_text("utf-8")
    before, _, rest = text.partition(BEGIN_MARK)
    _, _, after = rest.partition(END_MARK)
    DOCUMENT.write_text(f"{before}{BEGIN_MARK}\n\n{table(rows)}\n\n{END_MARK}{after}", "utf-8")
