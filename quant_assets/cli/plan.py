"""The command `quant-assets plan`; refresh_plan.py computes the plan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from quant_assets.cli.arguments import Json, parse_hours
from quant_assets.cli.candle_sources import check_stored_candles
from quant_assets.cli.environment import check_config_files, load_settings, silence_dagster, warn_about_missing_key
from quant_assets.cli.errors import echo_err, usage_error
from quant_assets.common.windows import Window


def plan(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder of candle files; without it, all stored candles of exchanges too.")
    ] = None,
    simulate: Annotated[
        str, typer.Option(help="Simulate the plan with a virtual clock for this long, such as 24h.")
    ] = "",
    plot: Annotated[Path | None, typer.Option(help="Plot the simulated ages to this HTML file.")] = None,
    as_json: Json = False,
) -> None:
    """Show what a refresh would cost now, and how old data get with this budget; fetches only a due market list."""
    settings = load_settings(fetches=True)
    check_stored_candles(settings, folder)
    check_config_files(settings)
    hours = parse_hours(simulate or ("24h" if plot else ""))
    if plot is not None and (plot.suffix != ".html" or not plot.absolute().parent.is_dir()):
        usage_error(f"--plot {plot} must be an .html file in a folder that exists")
    warn_about_missing_key(settings)
    silence_dagster()
    from quant_assets.cli.refresh_plan import plan_refresh, simulate_refresh  # noqa: PLC0415
    from quant_assets.cli.rendering import plan_lines, progress_bars  # noqa: PLC0415
    from quant_assets.derivatives.datasets import PRIMARY_DATASET  # noqa: PLC0415
    from quant_assets.providers.registry import PROVIDERS  # noqa: PLC0415
    from quant_assets.storage.database_clock import clock_of  # noqa: PLC0415

    with progress_bars() as progress:
        now = clock_of(settings).now()
        place = None if folder is None else folder.absolute()
        refresh_plan = plan_refresh(settings, place, Window.last_complete(now), progress, now=now)
        summary: dict[str, Any] = dict(refresh_plan.summary)
        if hours and len(refresh_plan.items):
            simulated = simulate_refresh(refresh_plan, settings, hours, progress)
            summary["simulation"] = simulated.summary()
    for note in refresh_plan.notes:
        echo_err(note)
    simulated_provider = refresh_plan.choice[PRIMARY_DATASET]
    if hours and any(name != simulated_provider for name in refresh_plan.choice.values()):
        echo_err(f"a simulation has the datasets of {PROVIDERS[simulated_provider].label} only")
    if hours and "simulation" not in summary:
        echo_err("no market has a source of derivatives yet, so there is nothing to simulate or to plot")
    if plot is not None and "simulation" in summary:
        from quant_assets.cli.plan_chart import ages_figure, write_figure  # noqa: PLC0415

        write_figure(ages_figure(simulated.planned, simulated.without_exchanges, simulated.in_turn), plot.absolute())
    if as_json:
        print(orjson.dumps(summary, option=orjson.OPT_INDENT_2).decode())
        return
    for line in plan_lines(summary):
        print(line)
    if plot is not None and "simulation" in summary:
        print(f"plot: {plot.absolute()}")
