"""The result of a search of parameters as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.table import Table

from quant_assets.cli.record_tables import TOO_FEW, assumptions, estimate, plain_table
from quant_assets.cli.rendering import stdout_console
from quant_assets.cli.signal_tables import UNKNOWN

if TYPE_CHECKING:
    from quant_assets.cli.evaluated_history import EvaluatedHistory
    from quant_assets.evaluation import Costs
    from quant_assets.evaluation.tuning import Tuning


def print_tuning(history: EvaluatedHistory, found: Tuning, costs: Costs, seconds: float) -> None:
    """Print what was chosen in each fold, what it was worth on the unseen part, and whether that beats chance."""
    console = stdout_console()
    for table in (_folds(found), _unseen(found)):
        console.print(table)
        console.print()
    for line in _lines(history, found, costs, seconds):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _folds(found: Tuning) -> Table:
    table = plain_table(
        "Chosen on the past, and its result on the unseen part after it",
        ("unseen part", "past trades", *(one.parameter for one in found.trials.ranges), "trades", "mean R after costs"),
    )
    for result in found.folds:
        fold, record = result.fold, result.record
        table.add_row(
            f"{_day(fold.unseen_first_ms)} to {_day(fold.unseen_last_ms)}",
            f"{result.past_trades:,}",
            *(f"{value:g}{'' if result.is_chosen else ' (kept)'}" for value in result.values.values()),
            f"{record['n']:,}",
            UNKNOWN if record["mean_r"] is None else f"{record['mean_r']:+.2f}",
        )
    return table


def _unseen(found: Tuning) -> Table:
    table = plain_table(
        "All unseen parts together",
        ("parameters", "trades", "days", "won", "mean R after costs", "against random entries"),
    )
    for name, record in (("chosen on the past", found.record), ("in force", found.record_in_force)):
        numbers = (
            [TOO_FEW, "", ""]
            if record["too_few"]
            else [
                f"{record['win_share']:.0%}",
                estimate(record["mean_r"], record["mean_r_interval"]),
                estimate(record["edge_r"], record["edge_r_interval"]),
            ]
        )
        table.add_row(name, f"{record['n']:,}", str(record["days"]), *numbers)
    return table


def _lines(history: EvaluatedHistory, found: Tuning, costs: Costs, seconds: float) -> Iterator[str]:
    trials, strategy = found.trials, found.trials.strategies[0]
    searched = ", ".join(f"{one.parameter} {one.values[0]:g} to {one.values[-1]:g}" for one in trials.ranges)
    yield (
        f"{len(trials.strategies):,} trials of {trials.combinations:,} combinations ({searched}); "
        f"{found.markets:,} markets, from {history.first.end:%Y-%m-%d %H:%M} to {history.last.end:%Y-%m-%d %H:%M} UTC; "
        f"{found.market_windows:,} market-windows replayed in {seconds:.1f} s, with those before the range"
    )
    if trials.refused:
        yield f"{trials.refused:,} combinations were refused by {strategy.name} itself"
    yield from assumptions(costs)
    if found.hindsight:
        yield (
            f"{found.hindsight:,} of the {found.record['n']:,} unseen trades are of windows from before their market "
            "was selected here (hindsight): it is known that it was still traded later"
        )
    deflated = found.deflated_sharpe
    if found.sharpe is None or deflated is None:
        yield "Sharpe ratio of daily sums: unknown, since they do not differ"
    else:
        yield (
            f"Sharpe ratio of daily sums: {found.sharpe.value:.2f} over {found.sharpe.count} days; the best of "
            f"{len(trials.strategies)} worthless trials would have {found.best_by_chance:.2f}; deflated Sharpe ratio "
            f"{deflated:.2f}"
        )
    against = found.reasons_against
    yield f"Nothing beats chance: {'; '.join(against)}" if against else "The choice beats chance on the unseen parts"
    if found.choice is None:
        yield "No parameters had enough trades to be chosen by"
    else:
        in_force = _text(trials.values(0))
        yield f"choice for {strategy.name} on the whole range: {_text(found.choice)} (in force: {in_force})"


def _text(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {value:g}" for name, value in values.items())


def _day(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M}"
