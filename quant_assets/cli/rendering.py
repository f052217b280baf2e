"""Output of the commands: progress on stderr, and results on stdout as text or JSON."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from quant_assets.cli.signal_tables import CONFLICT_MARK, OLD_PRICE_MARK, UNKNOWN, has_old_price, signal_tables
from quant_assets.common.progress import Progress as ReportProgress
from quant_assets.common.progress import silent
from quant_assets.common.text import escape_control_chars, format_age
from quant_assets.feed.build import FRESH_SECONDS, OLD_PRICE_SECONDS
from quant_assets.signals import GateIndex

if TYPE_CHECKING:
    import pandas as pd

STAGES: Final = {
    "candles": "files read",
    "refresh": "calls spent",
    "features": "markets analysed",
    "simulate": "markets simulated",
}
MAX_SIGNALS_SHOWN: Final = 15
MAX_SKIPPED_SHOWN: Final = 5
#: Characters in a line if stdout is no terminal and COLUMNS is not set.
DEFAULT_WIDTH: Final = 160


@contextmanager
def progress_bars() -> Iterator[ReportProgress]:
    """Show progress on stderr while the block runs, if stderr is a terminal."""
    if not sys.stderr.isatty():
        yield silent
        return
    # Dagster redirects stdout and stderr into its logs while a step runs, but not this copy of the descriptor.
    terminal = os.fdopen(os.dup(sys.stderr.fileno()), "w", encoding="utf-8")
    bars = Progress(
        TextColumn("{task.description:>17}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[note]}"),
        console=Console(file=terminal, force_terminal=True),
        transient=True,
    )
    tasks: dict[str, TaskID] = {}

    def show(stage: str, done: int, total: int, note: str = "") -> None:
        if stage not in tasks:
            tasks[stage] = bars.add_task(STAGES.get(stage, stage), total=total, note=note)
        bars.update(tasks[stage], completed=done, total=total, note=note)

    with terminal, bars:
        yield show


def scan_summary_lines(feed: Mapping[str, Any], api: Mapping[str, float], elapsed_seconds: float) -> Iterator[str]:
    """Yield the lines that summarize a scan."""
    stats = feed["stats"]
    resolution, actions = stats["resolution"], stats["actions"]
    yield (
        f"{_count(stats['markets'], 'market', 'markets')} × "
        f"{_count(len(stats['strategies']), 'strategy', 'strategies')} in {elapsed_seconds:.1f} s: "
        f"{actions['LONG']} LONG, {actions['SHORT']} SHORT, {actions['WAIT']} WAIT"
    )
    markets = _first_signal_per_market(feed)
    ages = [signal["oi_metadata"]["age_seconds"] for signal in markets]
    fresh = sum(age is not None and age <= FRESH_SECONDS for age in ages)
    unknown = sum(age is None for age in ages)
    yield (
        f"open interest: {resolution['resolved']} resolved, {resolution['aggregated']} aggregated, "
        f"{resolution['neutral']} neutral; {fresh} fresh, {len(ages) - fresh - unknown} stale, {unknown} unknown"
    )
    yield (
        f"API: {_count(api['calls'], 'call', 'calls')} in {_count(api['requests'], 'request', 'requests')}, "
        f"{_count(api['cache_hits'], 'cache hit', 'cache hits')}, "
        f"{api['rate_limited']:.0f} times over the limit, {api['waited_seconds']:.0f} s waited"
    )
    old = sum(map(has_old_price, markets))
    if old:
        minutes = f"{OLD_PRICE_SECONDS // 60} min or more before the window's end"
        yield f"prices: {_count(old, 'market has', 'markets have')} a price from {minutes} (marked{OLD_PRICE_MARK})"
    conflicts = len({signal["canonical_symbol"] for signal in feed["signals"] if signal["conflict"]})
    if conflicts:
        assets = _count(conflicts, "asset has", "assets have")
        yield f"conflicts: {assets} both a LONG and a SHORT in this window (marked{CONFLICT_MARK})"
    for file, reason in list(stats["skipped"].items())[:MAX_SKIPPED_SHOWN]:
        yield escape_control_chars(f"skipped {file}: {reason}")
    more = len(stats["skipped"]) - MAX_SKIPPED_SHOWN
    if more > 0:
        yield f"… and {more} more skipped files, listed in the feed under stats.skipped"


def _first_signal_per_market(feed: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return one signal of each market."""
    return list({(signal["exchange"], signal["symbol"]): signal for signal in feed["signals"]}.values())


def _count(number: float, singular: str, plural: str) -> str:
    """Return a number with its noun."""
    return f"{number:.0f} {singular if number == 1 else plural}"


def stdout_console() -> Console:
    """Return a console on stdout, of DEFAULT_WIDTH if neither a terminal nor COLUMNS says another width."""
    has_width = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(soft_wrap=False, width=None if has_width else DEFAULT_WIDTH)


def print_scan(
    feed: Mapping[str, Any], path: str, api: Mapping[str, float], elapsed_seconds: float, gates: GateIndex
) -> None:
    """Print the best signals and the summary of a scan."""
    console = stdout_console()
    for table in signal_tables(feed, MAX_SIGNALS_SHOWN, console.width, gates):
        console.print(table)
        console.print()
    for line in [*scan_summary_lines(feed, api, elapsed_seconds), f"feed: {path}"]:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def print_scan_as_json(feed: Mapping[str, Any], path: str, api: Mapping[str, float], elapsed_seconds: float) -> None:
    """Print the summary of a scan as JSON."""
    stats = feed["stats"]
    summary = {
        "feed": str(path),
        "window": feed["window"],
        "as_of": feed["as_of"],
        **{name: stats[name] for name in ("markets", "signals", "skipped", "resolution", "actions")},
        "api": api,
        "simulated": feed["simulated"],
        "elapsed_seconds": round(elapsed_seconds, 3),
    }
    print(orjson.dumps(summary, option=orjson.OPT_INDENT_2).decode())


def print_row(row: pd.Series[Any]) -> None:
    """Print a row of a table, a line for each column: times in UTC, a dash for a missing value."""
    for name, value in _native_values(row).items():
        if value in {"", None}:
            text = UNKNOWN
        elif name.endswith("_ms"):
            text = f"{datetime.fromtimestamp(value / 1000, UTC):%Y-%m-%d %H:%M} UTC"
        else:
            text = escape_control_chars(str(value))
        print(f"{name.removesuffix('_ms'):>28}  {text}")


def print_row_as_json(row: pd.Series[Any]) -> None:
    """Print a row of a table as JSON."""
    print(orjson.dumps(_native_values(row), option=orjson.OPT_INDENT_2).decode())


def _native_values(row: pd.Series[Any]) -> dict[str, Any]:
    """Return a row's values as plain Python, NaN as None."""
    plain = {str(name): value.item() if hasattr(value, "item") else value for name, value in row.items()}
    return {name: None if value != value else value for name, value in plain.items()}  # noqa: PLR0124 - NaN


def plan_lines(summary: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines that show the cost of a refresh, and a simulated day if there is one."""
    resolution = summary["resolution"]
    yield (
        f"{summary['markets']} markets ({resolution['resolved']} resolved, {resolution['aggregated']} aggregated, "
        f"{resolution['neutral']} neutral), {summary['symbols']} distinct symbols, "
        f"{summary['markets_in_focus']} markets in focus"
    )
    name_width = _name_width(summary["datasets"])
    yield f"{'':{name_width}}{'symbols':>9}{'known':>9}{'median age':>12}{'oldest':>10}{'due now':>9}{'takes':>9}"
    for dataset, of_dataset in summary["datasets"].items():
        yield (
            f"{dataset:{name_width}}{of_dataset['symbols']:>9}{of_dataset['known']:>9}"
            f"{_minutes(of_dataset['median_age_minutes']):>12}{_minutes(of_dataset['oldest_minutes']):>10}"
            f"{of_dataset['due']:>9}{_minutes(of_dataset['minutes']):>9}"
        )
    yield (
        f"{summary['calls_due']} calls due: at least {summary['minutes']} min at {summary['calls_per_minute']} a minute"
    )
    given = summary["given_by_exchanges"]
    if any(given.values()):
        yield (
            f"{summary['calls_saved_by_exchanges']} calls saved: exchanges gave open interest of "
            f"{given['open_interest']} markets and funding of {given['funding_rate']} for the window"
        )
    titles = {
        "planned": "planned by worth and age" + (", with what exchanges give" if any(given.values()) else ""),
        "without_exchanges": "planned by worth and age, Coinalyze alone",
        "in_turn": "all symbols and datasets in turn",
    }
    for name, day in summary.get("simulation", {}).items():
        yield ""
        yield from _simulation_lines(titles[name], day)


def _simulation_lines(title: str, day: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"simulated, {title}: {day['calls']} of {day['calls_available']} calls, "
        f"{day['budget_used_while_due']:.1%} of the budget used while anything was due"
    )
    after = day["all_known_after_minutes"]
    behind = day["focus_behind_minutes"]
    yield (
        (f"everything known after {after} min" if after is not None else "not everything known within the time")
        + f", nothing ever older than {_minutes(day['oldest_minutes'])}"
        + (f"; open interest in focus at most {_minutes(behind)} behind its window" if behind is not None else "")
    )
    if (of_window := day["open_interest_of_window"]) is not None:
        yield f"{of_window:.1%} of the markets have open interest of the window at the end of its refresh, on average"
    name_width = _name_width(day["datasets"])
    widths = (15, 8, 8, 21, 8, 8)
    titles = ("asked: median", "p95", "max", "bar closed: median", "p95", "max")
    yield f"{'minutes since':{name_width}}" + "".join(f"{t:>{w}}" for t, w in zip(titles, widths, strict=True))
    for dataset, ages in day["datasets"].items():
        names = [f"{kind}_{name}_minutes" for kind in ("asked", "closed") for name in ("median", "p95", "max")]
        yield f"{dataset:{name_width}}" + "".join(
            f"{UNKNOWN if ages[name] is None else format(ages[name], '.1f'):>{width}}"
            for name, width in zip(names, widths, strict=True)
        )


def _name_width(datasets: Mapping[str, Any]) -> int:
    """Return the width of the first column of a table with a row for each dataset."""
    return max([18, *(len(name) + 1 for name in datasets)])


def _minutes(value: float | None) -> str:
    return UNKNOWN if value is None else format_age(value * 60)
