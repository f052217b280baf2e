"""The command `quant-assets plan`: its arguments, and what it prints. The work is in planning.py."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from quant_assets.cli.arguments import (
    Folder,
    Json,
    check_files,
    check_folder,
    quiet_dagster,
    read_hours,
    read_settings,
    refuse,
    say,
    warn_without_key,
)
from quant_assets.common.windows import Window


def plan(
    folder: Folder,
    simulated: Annotated[
        str, typer.Option("--simulate", help="Run the plan against a virtual clock for so long, such as 24h.")
    ] = "",
    plot: Annotated[Path | None, typer.Option(help="Draw the simulated ages into this HTML file.")] = None,
    as_json: Json = False,
) -> None:
    """Show what a refresh would cost now, and what ages the budget buys; spends no call but for a due market list."""
    settings = read_settings(fetches=True)
    check_folder(folder)
    check_files(settings)
    hours = read_hours(simulated or ("24h" if plot else ""))
    if plot is not None and (plot.suffix != ".html" or not plot.absolute().parent.is_dir()):
        refuse(f"--plot {plot}: name an .html file in a folder that exists")
    warn_without_key(settings)
    quiet_dagster()
    from quant_assets.cli.planning import plan_refresh, simulate_refresh, simulation_account  # noqa: PLC0415
    from quant_assets.cli.rendering import plan_lines, shown_progress  # noqa: PLC0415

    with shown_progress() as progress:
        now = datetime.now(UTC)
        planned = plan_refresh(settings, folder.absolute(), Window.last_complete(now), progress, now=now)
        account: dict[str, Any] = dict(planned.account)
        if hours and len(planned.items):
            ours, plain = simulate_refresh(planned, settings.calls_per_minute, hours, progress)
            account["simulation"] = {"planned": simulation_account(ours), "in_turn": simulation_account(plain)}
    for note in planned.notes:
        say(note)
    if hours and "simulation" not in account:
        say("no market is served by any symbol yet, so there is nothing to simulate or to draw")
    if plot is not None and "simulation" in account:
        from quant_assets.cli.plots import ages_figure, write_figure  # noqa: PLC0415

        write_figure(ages_figure(ours, plain), plot.absolute())
    if as_json:
        print(orjson.dumps(account, option=orjson.OPT_INDENT_2).decode())
        return
    for line in plan_lines(account):
        print(line)
    if plot is not None and "simulation" in account:
        print(f"drawn: {plot.absolute()}")
