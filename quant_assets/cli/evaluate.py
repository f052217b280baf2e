"""The command `quant-assets evaluate`; the package evaluation does the work."""

from __future__ import annotations

import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from quant_assets.cli.arguments import Json, parse_selection, parse_strategies
from quant_assets.cli.candle_sources import check_stored_candles, known_markets
from quant_assets.cli.environment import check_config_files, load_settings
from quant_assets.cli.errors import EXIT_UNEXPECTED, echo_err, usage_error
from quant_assets.cli.evaluated_history import evaluation_costs, evaluation_prices, read_evaluated_history
from quant_assets.common.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from quant_assets.evaluation import Costs, Evaluation, Prices
    from quant_assets.signals import Strategy

TRADE_FILES = (".parquet", ".csv")


def evaluate(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder of candle files; without it, the stored candles of exchanges.")
    ] = None,
    since: Annotated[
        str, typer.Option("--from", help="First window: the last one complete at this moment, ISO 8601.")
    ] = "",
    until: Annotated[
        str, typer.Option("--to", help="Last window: the last one complete at this moment, ISO 8601.")
    ] = "",
    strategy: Annotated[str, typer.Option(help="Strategies to evaluate: all, or names separated by commas.")] = "all",
    exchange: Annotated[str, typer.Option(help="Evaluate only markets of this exchange.")] = "",
    symbol: Annotated[str, typer.Option(help="Evaluate only markets whose symbol contains this text.")] = "",
    set_values: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a parameter, such as legacy.threshold=65; may be repeated."),
    ] = None,
    trades: Annotated[Path | None, typer.Option(help="Write all trades to this file, .parquet or .csv.")] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write a report to this .html file, which needs no network.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Replay a range of windows, follow every setup to its end, and show what the signals were worth.

    By default the range is all that the candles cover after a warm-up of 200 bars of 4h or 500 of 15m. Derivatives and
    funding rates are those that the data folder has; unknown ones are neutral. Nothing is requested or stored.
    """
    started = time.monotonic()
    settings = load_settings(fetches=False)
    check_stored_candles(settings, folder)
    chosen = _chosen_strategies(
        check_config_files(settings), parse_strategies(strategy, settings.strategies_dir), set_values or []
    )
    exchange, symbol = parse_selection(known_markets(settings, folder), settings, exchange, symbol)
    if trades is not None and (trades.suffix not in TRADE_FILES or not trades.absolute().parent.is_dir()):
        usage_error(f"--trades {trades} must be a .parquet or .csv file in a folder that exists")
    if report is not None and (report.suffix != ".html" or not report.absolute().parent.is_dir()):
        usage_error(f"--report {report} must be an .html file in a folder that exists")
    costs = evaluation_costs(settings)
    found, prices = _evaluate(settings, folder, chosen, costs, (since, until), (exchange, symbol))
    if trades is not None:
        _write_trades(found.trades, trades.absolute())
    if report is not None:
        _write_report(found, prices, report.absolute())
    seconds = time.monotonic() - started
    if as_json:
        print(orjson.dumps(summary(found, costs, seconds), option=orjson.OPT_INDENT_2).decode())
        return
    from quant_assets.cli.record_tables import print_evaluation  # noqa: PLC0415

    print_evaluation(found, costs, seconds)
    for name, path in (("trades", trades), ("report", report)):
        if path is not None:
            print(f"{name}: {path.absolute()}")


def summary(found: Evaluation, costs: Costs, seconds: float) -> dict[str, Any]:
    """Return what `--json` prints."""
    return {
        "from": found.first.end.isoformat().replace("+00:00", "Z"),
        "to": found.last.end.isoformat().replace("+00:00", "Z"),
        "markets": found.markets,
        "windows": found.windows,
        "market_windows": found.market_windows,
        "windows_with_derivatives": found.windows_with_derivatives,
        "seconds": round(seconds, 3),
        "costs": costs.model_dump(),
        "strategies": found.records,
    }


def _chosen_strategies(
    strategies: Sequence[Strategy], names: Sequence[str], set_values: Sequence[str]
) -> tuple[Strategy, ...]:
    """Return the strategies of these names, all if there is none, with changed parameters; exit if one is invalid."""
    from quant_assets.signals import ParametersError, with_values  # noqa: PLC0415

    values: dict[str, dict[str, Any]] = {}
    for text in set_values:
        name, _, value = text.partition("=")
        key, _, parameter = name.partition(".")
        if not (key and parameter and value):
            usage_error(f"Invalid --set {text!r}: expected STRATEGY.PARAMETER=VALUE, e.g. legacy.threshold=65")
        values.setdefault(key.strip(), {})[parameter.strip()] = _parse_value(value.strip())
    try:
        changed = with_values(strategies, values, Path("--set"))
    except ParametersError as error:
        usage_error(str(error))
    return tuple(found for found in changed if not names or found.name in names)


def _parse_value(text: str) -> Any:
    """Return a value as TOML reads it; a text without quotes is a text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _evaluate(
    settings: Settings,
    folder: Path | None,
    strategies: Sequence[Strategy],
    costs: Costs,
    given: tuple[str, str],
    selection: tuple[str, str],
) -> tuple[Evaluation, Prices]:
    from quant_assets.cli.rendering import progress_bars  # noqa: PLC0415
    from quant_assets.evaluation import NothingToEvaluate  # noqa: PLC0415
    from quant_assets.evaluation import evaluate as evaluate_strategies  # noqa: PLC0415

    with progress_bars() as progress:
        history = read_evaluated_history(settings, folder, given, selection)
        prices = evaluation_prices(settings, history, costs)
        try:
            found = evaluate_strategies(
                history.candles,
                prices,
                strategies,
                history.first,
                history.last,
                history.rules,
                history.stored,
                progress,
            )
        except NothingToEvaluate as error:
            usage_error(str(error))
    return found, prices


def _write_trades(trades: pd.DataFrame, path: Path) -> None:
    """Write trades as Parquet or CSV; exit if the file cannot be written."""
    from quant_assets.common.files import atomic_write  # noqa: PLC0415

    with _writing("--trades", path), atomic_write(path) as temporary:
        if path.suffix == ".csv":
            trades.to_csv(temporary, index=False)
        else:
            trades.to_parquet(temporary, index=False)


def _write_report(found: Evaluation, prices: Prices, path: Path) -> None:
    """Write the report as HTML; exit if the file cannot be written."""
    from quant_assets.common.files import replace_file  # noqa: PLC0415
    from quant_assets.evaluation.report import render_report  # noqa: PLC0415

    page = render_report(found, prices.bars, prices.costs)
    with _writing("--report", path):
        replace_file(path, page.encode())


@contextmanager
def _writing(option: str, path: Path) -> Iterator[None]:
    """Exit with a message if a file cannot be written in the block."""
    try:
        yield
    except OSError as error:
        echo_err(f"{option} {path} cannot be written: {error.strerror}")
        raise typer.Exit(EXIT_UNEXPECTED) from None
