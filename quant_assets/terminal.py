"""What a person sees on a terminal: progress, the best signals, a scan's account.

Here: rich's progress and tables. Progress goes to stderr and only to a terminal. Not here: commands (cli.py).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import orjson
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from quant_assets import progress as reporting
from quant_assets.feed.build import FRESH_SECONDS
from quant_assets.texts import printable

STAGES: Final = {
    "candles": "files read",
    "refresh": "calls spent",
    "features": "markets analysed",
    "simulate": "markets simulated",
}
ACTION_STYLES: Final = {"LONG": "green", "SHORT": "red", "WAIT": "dim"}
STATUS_STYLES: Final = {"resolved": "green", "aggregated": "yellow", "neutral": "dim"}


@contextmanager
def shown_progress() -> Iterator[reporting.Progress]:
    """Show progress on stderr while the block runs; nothing where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield reporting.silent
        return
    # Dagster redirects stdout and stderr into its logs while a step runs; a copy of the terminal stays one.
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


def signals_table(feed: Mapping[str, Any], count: int) -> Table:
    """Return the best signals of a feed, in its order."""
    title = f"Best {min(count, len(feed['signals']))} of {len(feed['signals'])} signals, {feed['as_of']}"
    table = Table(title=f"{title}, SIMULATED DATA" if feed["simulated"] else title)
    for name in ("action", "market", "exchange", "strategy"):
        table.add_column(name, no_wrap=True)
    for name in ("score", "rr", "price", "stop", "target", "OI z", "OI age"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("open interest", no_wrap=True)
    table.add_column("why not")
    for signal in feed["signals"][:count]:
        interest = signal["oi_metadata"]
        table.add_row(
            f"[{ACTION_STYLES[signal['action']]}]{signal['action']}",
            _plain(signal["display_symbol"]),
            _plain(signal["exchange"]),
            _plain(signal["strategy_name"]),
            f"{signal['score']:.1f}",
            f"{signal['rr']:.2f}" if signal["setup"] else "–",
            _price(signal["price"]),
            _price(signal["stop_loss"]),
            _price(signal["take_profit"]),
            "–" if interest["z_score"] is None else f"{interest['z_score']:+.2f}",
            _age(interest["age_seconds"]),
            f"[{STATUS_STYLES[interest['status']]}]{interest['status']}",
            f"[dim]{_plain((signal['details']['reason'] or '').replace('_', ' '))}",
        )
    return table


def account_lines(feed: Mapping[str, Any], api: Mapping[str, float], elapsed_seconds: float) -> Iterator[str]:
    """Give the lines that sum a scan up."""
    stats = feed["stats"]
    resolution, actions = stats["resolution"], stats["actions"]
    yield (
        f"{stats['markets']} markets × {len(stats['strategies'])} strategies in {elapsed_seconds:.1f} s: "
        f"{actions['LONG']} LONG, {actions['SHORT']} SHORT, {actions['WAIT']} WAIT"
    )
    markets = {(signal["exchange"], signal["symbol"]): signal["oi_metadata"] for signal in feed["signals"]}
    ages = [interest["age_seconds"] for interest in markets.values()]
    fresh = sum(age is not None and age <= FRESH_SECONDS for age in ages)
    unknown = sum(age is None for age in ages)
    yield (
        f"open interest: {resolution['resolved']} resolved, {resolution['aggregated']} aggregated, "
        f"{resolution['neutral']} neutral; {fresh} fresh, {len(ages) - fresh - unknown} stale, {unknown} unknown"
    )
    yield (
        f"API: {api['calls']:.0f} calls in {api['requests']:.0f} requests, {api['cache_hits']:.0f} cache hits, "
        f"{api['rate_limited']:.0f} times over the limit, {api['waited_seconds']:.0f} s waited"
    )
    for file, reason in list(stats["skipped"].items())[:5]:
        yield printable(f"skipped {file}: {reason}")
    if len(stats["skipped"]) > 5:
        yield f"… and {len(stats['skipped']) - 5} more skipped files, listed in the feed under stats.skipped"


def print_scan(feed: Mapping[str, Any], path: Path, api: Mapping[str, float], elapsed_seconds: float) -> None:
    """Print the best signals and a scan's account to stdout."""
    console = Console(soft_wrap=False, width=None if sys.stdout.isatty() else 160)
    console.print(signals_table(feed, 15))
    for line in [*account_lines(feed, api, elapsed_seconds), f"feed: {path}"]:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def print_summary(feed: Mapping[str, Any], path: Path, api: Mapping[str, float], elapsed_seconds: float) -> None:
    """Print a scan's account to stdout as JSON."""
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


def plan_lines(account: Mapping[str, Any]) -> Iterator[str]:
    """Give the lines that tell what a refresh would cost, and what a simulated day came to."""
    resolution = account["resolution"]
    yield (
        f"{account['markets']} markets ({resolution['resolved']} resolved, {resolution['aggregated']} aggregated, "
        f"{resolution['neutral']} neutral), {account['symbols']} distinct symbols, "
        f"{account['markets_in_focus']} markets in focus"
    )
    yield f"{'':18}{'symbols':>9}{'known':>9}{'median age':>12}{'oldest':>10}{'due now':>9}{'takes':>9}"
    for dataset, of_dataset in account["datasets"].items():
        yield (
            f"{dataset:18}{of_dataset['symbols']:>9}{of_dataset['known']:>9}"
            f"{_minutes(of_dataset['median_age_minutes']):>12}{_minutes(of_dataset['oldest_minutes']):>10}"
            f"{of_dataset['due']:>9}{_minutes(of_dataset['minutes']):>9}"
        )
    yield (
        f"{account['calls_due']} calls due: at least {account['minutes']} min at {account['calls_per_minute']} a minute"
    )
    for way, title in (("planned", "planned by worth and age"), ("in_turn", "all in turn, the plain way")):
        if "simulation" in account:
            yield ""
            yield from _simulation_lines(title, account["simulation"][way])


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
    yield f"{'minutes since':18}{'asked: median':>15}{'p95':>8}{'max':>8}{'bar closed: median':>21}{'p95':>8}{'max':>8}"
    for dataset, ages in day["datasets"].items():
        widths = (15, 8, 8, 21, 8, 8)
        names = [f"{kind}_{name}_minutes" for kind in ("asked", "closed") for name in ("median", "p95", "max")]
        yield f"{dataset:18}" + "".join(
            f"{'–' if ages[name] is None else format(ages[name], '.1f'):>{width}}"
            for name, width in zip(names, widths, strict=True)
        )


def _minutes(value: float | None) -> str:
    return _age(None if value is None else value * 60)


def _plain(text: str) -> str:
    """Keep a name from being read as markup too."""
    return escape(printable(text))


def _price(value: float | None) -> str:
    return "–" if value is None else f"{value:.6g}"


def _age(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 2 * 86_400 else f"{seconds / 86_400:.0f} d"
