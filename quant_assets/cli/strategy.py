"""The commands `quant-assets strategy new | list | check | tune`."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import orjson
import typer

from quant_assets.cli.arguments import Json, check_candle_files, parse_strategies
from quant_assets.cli.environment import check_config_files, settings_from_environment
from quant_assets.cli.errors import EXIT_UNEXPECTED, echo_err, usage_error
from quant_assets.cli.interrupts import InterruptibleCommand
from quant_assets.cli.tune import tune

if TYPE_CHECKING:
    import pandas as pd

    from quant_assets.common.settings import Settings
    from quant_assets.signals import Strategy
    from quant_assets.signals.checking.check import CheckReport

EXIT_FOUND: Final = EXIT_UNEXPECTED
"""Exit code of a check that found something."""
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")

app = typer.Typer(help="Write, list, check and tune strategies.", no_args_is_help=True)


@app.command("new", cls=InterruptibleCommand)
def new(name: Annotated[str, typer.Argument(help="Name of the strategy, e.g. my_idea or MyIdea.")]) -> None:
    """Write a strategy to start from, with an indicator of its own, and its test."""
    from quant_assets.cli.strategy_template import strategy_files  # noqa: PLC0415
    from quant_assets.signals import discover_strategies  # noqa: PLC0415

    settings = settings_from_environment()
    folder = _folder(settings)
    if not _NAME.fullmatch(name):
        usage_error(f"Invalid name {name!r}: expected letters, digits and underscores, e.g. my_idea")
    key = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().strip("_")
    class_name = "".join(part[:1].upper() + part[1:] for part in key.split("_"))
    if key in sys.stdlib_module_names or key.startswith("test"):
        usage_error(f"Invalid name {name!r}: it is the name of a Python module or of a test; choose another")
    known = discover_strategies(folder).strategies
    if any(key == found.key or class_name == found.name for found in known):
        usage_error(f"There is a strategy {name} already; choose another name, or see `quant-assets strategy list`")
    files = strategy_files(class_name, key)
    for file in files:
        if (folder / file).exists():
            usage_error(f"{folder / file} exists already; choose another name")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in files.items():
            (folder / file).write_text(text, encoding="utf-8")
    except OSError as error:
        usage_error(f"{folder} cannot be written: {error.strerror}")
    for file in files:
        print(folder / file)
    echo_err(f"next: quant-assets strategy check {class_name}, then quant-assets scan --strategy {class_name}")
    echo_err("for candle files, add their folder to both commands")


@app.command("list", cls=InterruptibleCommand)
def list_strategies(as_json: Json = False) -> None:
    """List strategies, where they come from, and their parameters with ranges and values in force."""
    from quant_assets.signals import discover_strategies  # noqa: PLC0415

    settings = settings_from_environment()
    strategies = check_config_files(settings)
    discovered = discover_strategies(settings.strategies_dir)
    for problem in discovered.problems:
        echo_err(problem)
    rows = [_described(strategy, discovered.sources[strategy.key]) for strategy in strategies]
    if as_json:
        _print_json({"strategies": rows, "problems": list(discovered.problems)})
        return
    for row in rows:
        print(f"{row['name']} ({row['key']}), {row['source']}: {row['description']}")
        for name, parameter in row["parameters"].items():
            limits = "" if parameter["min"] is None else f"  {parameter['min']:g} to {parameter['max']:g}"
            step = "" if parameter["step"] is None else f", step {parameter['step']:g}"
            searched = "" if parameter["search"] is None else ", searched {:g} to {:g}".format(*parameter["search"])
            print(f"    {name} = {parameter['value']}{limits}{step}{searched}")
        if row["indicators"]:
            print(f"    own indicators: {', '.join(row['indicators'])}; look_back {row['look_back']} bars")
        print(f"    time limit of a trade: {row['max_holding_minutes']} minutes")


@app.command("check", cls=InterruptibleCommand)
def check(
    name: Annotated[str, typer.Argument(help="Name or key of the strategy.")],
    folder: Annotated[
        Path | None, typer.Argument(help="Folder of candle files; without it, the candles of the last scan.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check a strategy on candles for look-ahead and recursion, and measure its speed; exit 1 if a fault is found."""
    settings = settings_from_environment()
    names = parse_strategies(name, settings.strategies_dir)
    if len(names) != 1:
        usage_error("Give the name of one strategy; see `quant-assets strategy list`")
    (strategy,) = [found for found in check_config_files(settings) if found.name == names[0]]
    candles = _candles(settings, folder)
    from quant_assets.signals import check_strategy  # noqa: PLC0415

    report = check_strategy(strategy, candles)
    if as_json:
        _print_json(_summary(report))
    else:
        _print_report(report, strategy)
    if report.findings:
        raise typer.Exit(EXIT_FOUND)


app.command("tune", cls=InterruptibleCommand)(tune)


def _folder(settings: Settings) -> Path:
    return settings.strategies_dir or Path("strategies").absolute()


def _candles(settings: Settings, folder: Path | None) -> pd.DataFrame:
    """Return the candles of a folder, or those of the last scan; exit if there are none."""
    from quant_assets.candles import read_candles  # noqa: PLC0415
    from quant_assets.storage.lake import Lake, LakeError  # noqa: PLC0415

    if folder is not None:
        check_candle_files(folder)
        bars = read_candles(folder).bars
        if (bars["timeframe"] == "15m").any():
            return bars
        usage_error(f"{folder} has no 15m bars that can be read; `quant-assets scan {folder}` says why")
    try:
        candles = Lake(settings.lake_place).read(["candles"])
    except LakeError as error:
        usage_error(str(error))
    if candles is None or candles.empty:
        usage_error("There are no candles of a scan: give a folder of candle files, e.g. strategy check NAME candles")
    return candles


def _described(strategy: Strategy, source: str) -> dict[str, Any]:
    from quant_assets.signals import has_indicators, parameters_of  # noqa: PLC0415
    from quant_assets.signals.parameters import COMMON_LIMITS, parameter_descriptions  # noqa: PLC0415

    limits, texts = {**COMMON_LIMITS, **strategy.limits}, parameter_descriptions(strategy)
    return {
        "name": strategy.name,
        "key": strategy.key,
        "source": source,
        "description": strategy.description,
        "parameters": {
            name: {
                "value": value,
                "min": limits.get(name, (None, None))[0],
                "max": limits.get(name, (None, None))[1],
                "step": strategy.steps.get(name),
                "search": strategy.search_ranges.get(name),
                "text": texts.get(name, ""),
            }
            for name, value in parameters_of(strategy).items()
        },
        "indicators": list(strategy.own_indicators) if has_indicators(strategy) else [],
        "look_back": strategy.look_back,
        "max_holding_minutes": strategy.max_holding_minutes,
    }


def _summary(report: CheckReport) -> dict[str, Any]:
    return {
        "strategy": report.strategy,
        "markets": report.markets,
        "windows": report.windows,
        "setups": report.setups,
        "findings": [
            {
                "kind": str(found.kind),
                "indicator": found.indicator,
                "market": found.market,
                "window": found.window,
                "size": found.size,
                "text": found.text,
            }
            for found in report.findings
        ],
        "recursion": {name: {str(bars): move for bars, move in moves.items()} for name, moves in report.moves.items()},
        "notes": report.notes,
        "indicator_ms_per_market": round(report.indicator_ms_per_market, 3),
        "judge_us_per_market": round(report.judge_us_per_market, 1),
        "seconds": round(report.seconds, 3),
    }


def _print_report(report: CheckReport, strategy: Strategy) -> None:
    print(f"{report.strategy}: {report.markets} markets, {report.windows} windows, {report.setups} setups compared")
    if report.moves:
        print("largest move of the last value, from a history of so many bars to one of 1,500:")
    for name, moves in report.moves.items():
        print(f"    {name:30} {', '.join(f'{bars}: {_share(move)}' for bars, move in moves.items())}")
    print(
        f"speed: indicators {report.indicator_ms_per_market:.2f} ms a market (limit of a window: "
        f"{strategy.max_indicator_seconds:g} s), judge {report.judge_us_per_market:.0f} µs a market"
    )
    for note in report.notes:
        print(note)
    for found in report.findings:
        print(found.text)
    result = f"{len(report.findings)} found" if report.findings else "nothing found"
    print(f"{result} in {report.seconds:.1f} s of processor time")


def _share(move: float | None) -> str:
    return "unknown" if move is None else f"{move:.1g}"


def _print_json(summary: Mapping[str, Any]) -> None:
    print(orjson.dumps(summary, option=orjson.OPT_INDENT_2).decode())
