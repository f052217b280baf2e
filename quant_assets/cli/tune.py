"""The command `quant-assets strategy tune`; the package evaluation.tuning does the work."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from quant_assets.cli.arguments import Json, parse_selection, parse_strategies
from quant_assets.cli.candle_sources import check_stored_candles, known_markets
from quant_assets.cli.environment import check_config_files, load_settings
from quant_assets.cli.errors import EXIT_UNEXPECTED, echo_err, usage_error
from quant_assets.cli.evaluated_history import (
    EvaluatedHistory,
    evaluation_costs,
    evaluation_prices,
    read_evaluated_history,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from quant_assets.common.settings import Settings
    from quant_assets.evaluation import Costs, Prices
    from quant_assets.evaluation.tuning import FoldResult, SearchRange, Trials, Tuning
    from quant_assets.signals import Strategy


class Sampler(StrEnum):
    """How combinations are chosen if there are too many to try all."""

    RANDOM = "random"
    OPTUNA = "optuna"


@dataclass(frozen=True, slots=True)
class _Search:
    """Which parameters of a strategy are tried, and how many combinations of them."""

    strategy: Strategy
    ranges: tuple[SearchRange, ...]
    count: int
    seed: int
    sampler: Sampler
    folds: int


#: What is told of a record in JSON.
_RECORD_KEYS = (
    *("n", "days", "asset_days", "too_few", "win_share", "win_interval", "mean_r", "mean_r_interval", "median_r"),
    *("profit_factor", "edge_r", "edge_r_interval", "max_drawdown_r"),
)


def tune(
    name: Annotated[str, typer.Argument(help="Name or key of the strategy.")],
    folder: Annotated[
        Path | None, typer.Argument(help="Folder of candle files; without it, the stored candles of exchanges.")
    ] = None,
    ranges: Annotated[
        list[str] | None,
        typer.Option(
            "--range", help="Search this range instead of the declared ones: PARAMETER=MIN:MAX:STEP; may be repeated."
        ),
    ] = None,
    trials: Annotated[
        int, typer.Option(min=2, max=10_000, help="Combinations to try: all, or so many random ones.")
    ] = 100,
    sampler: Annotated[
        Sampler,
        typer.Option(
            help="optuna: choose combinations by the results of earlier ones in the past of the first part; needs "
            r"quant-assets\[tune]."
        ),
    ] = Sampler.RANDOM,
    folds: Annotated[int, typer.Option(min=1, max=50, help="Parts of the unseen half of the range.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random choice of combinations.")] = 0,
    since: Annotated[
        str, typer.Option("--from", help="First window: the last one complete at this moment, ISO 8601.")
    ] = "",
    until: Annotated[
        str, typer.Option("--to", help="Last window: the last one complete at this moment, ISO 8601.")
    ] = "",
    exchange: Annotated[str, typer.Option(help="Only markets of this exchange.")] = "",
    symbol: Annotated[str, typer.Option(help="Only markets whose symbol contains this text.")] = "",
    write: Annotated[
        bool, typer.Option("--write", help="Put the choice into strategies.toml of the data folder.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Search a strategy's parameters by walk-forward, and show what the choice was worth on candles it had not seen.

    Parameters are chosen on the past of each fold, and reported on its unseen part only. Derivatives
    are those that the data folder has; unknown ones are neutral.
    """
    started = time.monotonic()
    settings = load_settings(fetches=False)
    check_stored_candles(settings, folder)
    strategy = _strategy(settings, name)
    search = _Search(strategy, _searched_ranges(strategy, ranges or []), trials, seed, sampler, folds)
    selection = parse_selection(known_markets(settings, folder), settings, exchange, symbol)
    costs = evaluation_costs(settings)
    history, found = _tune(settings, folder, search, costs, (since, until), selection)
    written = _write(settings, strategy, found) if write else None
    seconds = time.monotonic() - started
    if as_json:
        content = summary(history, found, costs, seconds, seed=seed, written=written)
        print(orjson.dumps(content, option=orjson.OPT_INDENT_2).decode())
        return
    from quant_assets.cli.tuning_tables import print_tuning  # noqa: PLC0415

    print_tuning(history, found, costs, seconds)
    if written is not None:
        print(f"written: {written}")


def summary(
    history: EvaluatedHistory, found: Tuning, costs: Costs, seconds: float, *, seed: int, written: Path | None
) -> dict[str, Any]:
    """Return what `--json` prints."""
    return {
        "strategy": found.trials.strategies[0].name,
        "from": history.first.end.isoformat().replace("+00:00", "Z"),
        "to": history.last.end.isoformat().replace("+00:00", "Z"),
        "markets": found.markets,
        "market_windows": found.market_windows,
        "seconds": round(seconds, 3),
        "costs": costs.model_dump(),
        "ranges": {one.parameter: _range(one) for one in found.trials.ranges},
        "combinations": found.trials.combinations,
        "refused": found.trials.refused,
        "trials": len(found.trials.strategies),
        "seed": seed,
        "folds": [_fold(fold) for fold in found.folds],
        "unseen": _record(found.record),
        "unseen_in_force": _record(found.record_in_force),
        "unseen_hindsight": found.hindsight,
        "sharpe": None if found.sharpe is None else found.sharpe.value,
        "sharpe_days": None if found.sharpe is None else found.sharpe.count,
        "sharpe_by_chance": found.best_by_chance,
        "deflated_sharpe": found.deflated_sharpe,
        "beats_chance": not found.reasons_against,
        "reasons": found.reasons_against,
        "in_force": found.trials.values(0),
        "choice": found.choice,
        "written": None if written is None else str(written),
    }


def _strategy(settings: Settings, name: str) -> Strategy:
    """Return the strategy of a name with its parameters in force; exit if it is unknown."""
    in_force = check_config_files(settings)
    names = parse_strategies(name, settings.strategies_dir)
    if len(names) != 1:
        usage_error("Give the name of one strategy; see `quant-assets strategy list`")
    return next(found for found in in_force if found.name == names[0])


def _searched_ranges(strategy: Strategy, given: list[str]) -> tuple[SearchRange, ...]:
    """Return the ranges of a search; exit if one is invalid."""
    from quant_assets.evaluation.tuning import RangeError, search_ranges  # noqa: PLC0415

    try:
        return search_ranges(strategy, given)
    except RangeError as error:
        usage_error(str(error))


def _tune(
    settings: Settings,
    folder: Path | None,
    search: _Search,
    costs: Costs,
    given: tuple[str, str],
    selection: tuple[str, str],
) -> tuple[EvaluatedHistory, Tuning]:
    from quant_assets.cli.rendering import progress_bars  # noqa: PLC0415
    from quant_assets.evaluation import NothingToEvaluate  # noqa: PLC0415
    from quant_assets.evaluation.tuning import FoldsError, RangeError  # noqa: PLC0415
    from quant_assets.evaluation.tuning import tune as search_parameters  # noqa: PLC0415

    with progress_bars() as progress:
        history = read_evaluated_history(settings, folder, given, selection)
        prices = evaluation_prices(settings, history, costs)
        try:
            found = search_parameters(
                history.candles,
                prices,
                _trials(search, history, prices),
                history.first,
                history.last,
                search.folds,
                history.rules,
                history.stored,
                progress,
            )
        except (FoldsError, NothingToEvaluate, RangeError) as error:
            usage_error(str(error))
    return history, found


def _trials(search: _Search, history: EvaluatedHistory, prices: Prices) -> Trials:
    """Return the trials of a search. Raises RangeError if there are none, FoldsError; exit if optuna is missing."""
    from quant_assets.evaluation.tuning import count_combinations, draw_trials, scores_of_past  # noqa: PLC0415

    if search.sampler is Sampler.RANDOM or count_combinations(search.ranges) <= search.count:
        return draw_trials(search.strategy, search.ranges, search.count, search.seed)
    try:
        from quant_assets.evaluation.tuning.guided_search import guided_trials  # noqa: PLC0415
    except ModuleNotFoundError as error:
        usage_error(f"--sampler optuna needs {error.name}: install quant-assets[tune]")
    score = scores_of_past(
        history.candles, prices, search.strategy, history.first, history.last, search.folds, history.stored
    )
    return guided_trials(search.strategy, search.ranges, search.count, search.seed, score)


def _write(settings: Settings, strategy: Strategy, found: Tuning) -> Path | None:
    """Put the choice into the user's file and return its path; None if there is no choice. Exit if it fails."""
    from quant_assets.common.files import WriteError  # noqa: PLC0415
    from quant_assets.common.toml_edit import set_table_values  # noqa: PLC0415

    if found.choice is None:
        echo_err("nothing is written: no parameters had enough trades to be chosen by")
        return None
    old_names = {new: old for old, new in strategy.renamed_parameters.items()}
    path = settings.strategies_path
    try:
        set_table_values(
            path, strategy.key, found.choice, remove=[old_names[name] for name in found.choice if name in old_names]
        )
    except WriteError as error:
        echo_err(f"--write: {error}")
        raise typer.Exit(EXIT_UNEXPECTED) from None
    if found.reasons_against:
        echo_err(f"{path} has the choice now, although nothing beats chance")
    return path


def _range(one: SearchRange) -> dict[str, float | None]:
    return {"min": one.values[0], "max": one.values[-1], "step": one.step, "values": len(one.values)}


def _fold(result: FoldResult) -> dict[str, Any]:
    fold = result.fold
    times = {
        "past_from": fold.past_first_ms,
        "past_to": fold.past_last_ms,
        "unseen_from": fold.unseen_first_ms,
        "unseen_to": fold.unseen_last_ms,
    }
    return {
        **{name: f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}" for name, at_ms in times.items()},
        "past_trades": result.past_trades,
        "chosen": result.is_chosen,
        "values": dict(result.values),
        "unseen": _record(result.record),
    }


def _record(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: record[name] for name in _RECORD_KEYS}
