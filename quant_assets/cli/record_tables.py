"""The record of strategies as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from rich import box
from rich.table import Table

from quant_assets.cli.rendering import stdout_console
from quant_assets.cli.signal_tables import UNKNOWN

if TYPE_CHECKING:
    from quant_assets.evaluation import Costs, Evaluation

Record = Mapping[str, Any]

TOO_FEW: Final = "too few to say"


def print_evaluation(found: Evaluation, costs: Costs, seconds: float) -> None:
    """Print the record of each strategy, the score quartiles, and what was evaluated."""
    console = stdout_console()
    for table in (_records(found.records), _quartiles(found.records), _outcomes(found.records)):
        console.print(table)
        console.print()
    for line in _lines(found, costs, seconds):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _records(records: Mapping[str, Record]) -> Table:
    table = plain_table(
        "What the signals were worth, in R: 1 R is the distance from the entry to the stop",
        (
            "strategy",
            "trades",
            "days",
            "won",
            "mean R after costs",
            "against random entries",
            "score and result",
            "drawdown",
        ),
    )
    for name, record in records.items():
        table.add_row(
            name,
            f"{record['n']:,}",
            str(record["days"]),
            *(
                [TOO_FEW, "", "", ""]
                if record["too_few"]
                else [
                    f"{record['win_share']:.0%}",
                    estimate(record["mean_r"], record["mean_r_interval"]),
                    estimate(record["edge_r"], record["edge_r_interval"]),
                    estimate(record["score_rank_correlation"], record["score_rank_interval"]),
                ]
            ),
            UNKNOWN if record["max_drawdown_r"] is None else f"{record['max_drawdown_r']:.1f}",
        )
    return table


def _quartiles(records: Mapping[str, Record]) -> Table:
    table = plain_table("Mean R by quartile of the score", ("strategy", "lowest", "second", "third", "highest"))
    for name, record in records.items():
        cells = [
            UNKNOWN
            if not part["n"]
            else f"{TOO_FEW} (n {part['n']})"
            if part["too_few"]
            else f"{part['mean_r']:+.2f} (n {part['n']})"
            for part in record["quartiles"]
        ]
        table.add_row(name, *(cells or [UNKNOWN] * 4))
    return table


def _outcomes(records: Mapping[str, Record]) -> Table:
    names = list(next(iter(records.values()))["outcomes"])
    table = plain_table("All trades by outcome", ("strategy", *(name.replace("_", " ") for name in names)))
    for name, record in records.items():
        table.add_row(name, *(f"{record['outcomes'][outcome]:,}" for outcome in names))
    return table


def _lines(found: Evaluation, costs: Costs, seconds: float) -> Iterator[str]:
    yield (
        f"{found.markets:,} markets, from {found.first.end:%Y-%m-%d %H:%M} to {found.last.end:%Y-%m-%d %H:%M} UTC; "
        f"{found.market_windows:,} market-windows replayed in {seconds:.1f} s, with those before the range"
    )
    yield from assumptions(costs)
    yield (
        f"Derivatives are stored for {found.windows_with_derivatives:,} of {found.windows:,} windows; unknown ones "
        "count as neutral"
    )
    if found.trades["hindsight"].any():
        yield (
            "(hindsight): windows from before the market was selected here. Markets are selected by turnover, so it is "
            "known that these were still traded later"
        )
    for name, record in found.records.items():
        if (sentence := verdict(record)) and not record["too_few"]:
            yield f"{name}: {sentence}"


def assumptions(costs: Costs) -> Iterator[str]:
    """Yield the lines that say what results and intervals depend on."""
    yield (
        f"costs of a side: {costs.fee_pct:g} % fee and {costs.slippage_pct:g} % slippage. Intervals cover 95 %, with "
        "trades of one day taken as moving together"
    )
    yield "Counted are trades whose time limit has passed"


def verdict(record: Record) -> str:
    """Return in a sentence whether the mean result and the edge over random entries can be told from 0."""
    return (
        f"the mean result {_told(record['mean_r_interval'], 'is a gain', 'is a loss', 'cannot be told from 0')}; "
        f"the entries {_told(record['edge_r_interval'], 'did better than', 'did worse than', 'cannot be told from')} "
        "random ones"
    )


def estimate(value: float | None, interval: Sequence[float] | None) -> str:
    """Return an estimate and its interval."""
    if value is None:
        return UNKNOWN
    return f"{value:+.2f}" + ("" if interval is None else f" ({interval[0]:+.2f} … {interval[1]:+.2f})")


def _told(interval: Sequence[float] | None, above: str, below: str, neither: str) -> str:
    if interval is None or interval[0] <= 0 <= interval[1]:
        return neither
    return above if interval[0] > 0 else below


def plain_table(title: str, columns: Sequence[str]) -> Table:
    """Return an empty table; the first column holds text, the others numbers."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right", no_wrap=True)
    return table
